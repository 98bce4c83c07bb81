package hook

// Hinter is a bus through which a statement of this module can send other pods a hint, in its own transaction and
// without the log: pg_notify(channel, prefix || key). The Source of *bus.Postgres implements it. A hint is not an
// event: its sender is not authenticated, and a pod that does not listen at the moment never receives it. So use it
// for what the receiver verifies at once, and would find out a little later without it.
type Hinter interface {
	// HintTo returns the channel and prefix of hints for subscribers of a topic. ok is false if they would not arrive
	// at the moment: publish an event instead.
	HintTo(topic string) (channel, prefix string, ok bool)
}

// Hinted is a Synchronous subscriber that receives hints of its topic, from the goroutine that listens.
type Hinted interface {
	Synchronous
	Hint(_ Token, key string)
}
