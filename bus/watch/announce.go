package watch

import "fmt"

// Announce says which pod announces the changes of a watched table, and when.
type Announce uint8

const (
	// AfterSweep leaves the announcement to the pod that sweeps: within its SweepInterval after the commit. It costs
	// the writer nothing but the row in the log, and problems with notifications cannot fail the writer's commit.
	AfterSweep Announce = iota

	// InTransaction makes the trigger itself send a NOTIFY, on which all pods read the log after the commit: some
	// milliseconds after a single commit, and once per SweepInterval or PollInterval, whichever is less, while
	// commits follow one another. Every transaction that changes the table pays for it: NOTIFY takes a lock of the
	// whole cluster while the commit is flushed to disk, so such transactions commit one after the other; a full
	// notification queue fails them; and they cannot be prepared (two-phase commit). It is for tables with rare and
	// urgent changes.
	InTransaction
)

// String returns "after-sweep" or "in-transaction".
func (a Announce) String() string {
	switch a {
	case AfterSweep:
		return "after-sweep"
	case InTransaction:
		return "in-transaction"
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (a Announce) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Announce) UnmarshalText(text []byte) error {
	for known := AfterSweep; known <= InTransaction; known++ {
		if known.String() == string(text) {
			*a = known
			return nil
		}
	}
	return fmt.Errorf("watch: unknown announcement %.32q", text)
}
