/** What a GPU's figures are held to, and how they are taken. */
package dev.polyphon.measure.gpu;
