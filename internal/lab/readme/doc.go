// Package readme tests the README: it runs the README's program outside of the module.
package readme
