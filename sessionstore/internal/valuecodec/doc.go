// Package valuecodec turns the values of a framework's session into bytes that are the same for the same values, whatever
// process writes them: an adapter can then distinguish a session that was only read from one that was changed. encoding/gob
// cannot serve for that: it writes maps in random order and numbers types in the order of their first use.
//
// Basic types, times, and lists and maps of them have a form of their own. Everything else is wrapped in gob, so that
// what worked in a framework's gob codec works here; types of the application are registered with gob.Register as before.
package valuecodec
