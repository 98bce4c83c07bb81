package hook

// Statements is a Source that returns statements of its bus, for those who measure them. The Source of *bus.Postgres is one.
type Statements interface {
	// DifferenceSQL is the statement that reads what was missed.
	DifferenceSQL() string
}
