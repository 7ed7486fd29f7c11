/** {@code polyphon adapter ...}: operations on adapters' folders, without a server. */
package dev.polyphon.server.cli.adapter;
