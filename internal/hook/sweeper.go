package hook

// Sweeper is a Source whose bus can be asked to look for events that nobody announces, such as a trigger's, sooner than it
// would by itself. The Source of *bus.Postgres is one.
type Sweeper interface {
	// Sweep asks for it and returns at once. What has committed before is found, if this pod is live; if not, the sweep of
	// another pod finds it a little later. Many requests in a row are one sweep.
	Sweep()
}
