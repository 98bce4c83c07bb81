// Package readme keeps the README's code true: a test compiles it.
package readme
