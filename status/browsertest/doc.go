// Package browsertest looks at the live page, and at the page of examples/notes, in a real browser, with pods that are real
// processes. It is a module of its own, so that what drives the browser stays out of the library's dependencies.
//
// PGCOHERENCE_SCREENSHOTS names a directory to keep the pictures in; by default they go to a temporary one.
package browsertest
