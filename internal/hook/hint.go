package hook

// Hinter is a bus over which a statement of this project's own can give other pods a hint, in its own transaction and
// without the log: pg_notify(channel, prefix || key). The Source of *bus.Postgres implements it. A hint is no event: it carries no proof
// of who sent it, and whoever does not listen at the moment never hears of it. So it is for what the receiver looks up
// for itself at once, and would have found out a little later anyway.
type Hinter interface {
	// HintTo tells where hints for subscribers of a topic go. ok is false if they would not travel at the moment: publish
	// an event instead.
	HintTo(topic string) (channel, prefix string, ok bool)
}

// Hinted is a Synchronous subscriber that wants hints of its topic. It is called like the others, from the goroutine that
// listens.
type Hinted interface {
	Synchronous
	Hint(_ Token, key string)
}
