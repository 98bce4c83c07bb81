// Package compat tests the library together with other database libraries and web frameworks. It is a module of its own so
// that they do not become dependencies of the library's users.
package compat
