package hook

// Statements is a Source that returns statements of its bus, for measurements. The Source of *bus.Postgres implements
// it.
type Statements interface {
	// DifferenceSQL returns the statement that reads missed events.
	DifferenceSQL() string
}
