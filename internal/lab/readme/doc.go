// Package readme keeps the README true: a test runs its program outside of the module.
package readme
