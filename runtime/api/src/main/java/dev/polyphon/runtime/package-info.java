/** The runtime SPI: what a runtime takes, gives and reports. No HTTP, no tenants' secrets, no computation. */
package dev.polyphon.runtime;
