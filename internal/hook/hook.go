// Package hook lets this project's own caches stand on the bus' reading goroutine.
package hook

// Synchronous marks a subscriber that is called directly, under the bus' lock, and not through a queue: it never
// blocks, never calls the bus, and does not panic. Nobody outside this module can name Token, so nobody outside can
// implement it: foreign code always stands behind a queue.
type Synchronous interface {
	Synchronous(Token)
}

// Token is the type that only this module can name.
type Token struct{}
