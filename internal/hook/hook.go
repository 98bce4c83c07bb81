// Package hook contains what only this module may call: the interfaces between the bus and this module's own caches
// and stores, and the switches of the fault tests.
package hook

// Synchronous marks a subscriber that the bus calls directly, under its lock, and not through a queue. It never
// blocks, never calls the bus, and does not panic. Other modules cannot name Token, so they cannot implement it:
// their subscribers always have a queue.
type Synchronous interface {
	Synchronous(Token)
}

// Token is a type that only this module can name.
type Token struct{}
