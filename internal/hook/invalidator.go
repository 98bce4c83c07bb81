package hook

// Invalidator is a transaction that publishes when it commits: *bus.Tx and its counterparts.
type Invalidator interface {
	Invalidate(topic string, keys ...string)
	InvalidateAll(topic string)

	// Refuse makes the commit fail with an error, because a requested invalidation is impossible.
	Refuse(_ Token, err error)
}
