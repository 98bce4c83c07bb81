package hook

// Sweeper is a Source whose bus can be asked to sweep for unannounced events, such as a trigger's, earlier than it
// would by itself. The Source of *bus.Postgres implements it.
type Sweeper interface {
	// Sweep requests a sweep and returns at once. It finds what has committed before, if this pod is live; otherwise
	// the sweep of another pod finds it a little later. Several requests in a row become one sweep.
	Sweep()
}
