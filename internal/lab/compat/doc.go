// Package compat tests the library with other people's database libraries, in a module of its own so that none of them
// becomes a dependency of its users.
package compat
