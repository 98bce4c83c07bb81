package hook

// Invalidator is a transaction that publishes when it commits: *bus.Tx and its twins.
type Invalidator interface {
	Invalidate(topic string, keys ...string)
	InvalidateAll(topic string)

	// Refuse makes the commit fail with an error: something was to be invalidated that cannot be.
	Refuse(_ Token, err error)
}
