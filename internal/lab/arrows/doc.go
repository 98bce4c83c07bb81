// Package arrows holds no code. Its test checks the direction of every import
// between the packages of this module, and that no package for tests is linked
// into what users import.
package arrows
