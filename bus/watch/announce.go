package watch

import "fmt"

// Announce is who announces the changes of a watched table to the pods, and when.
type Announce uint8

const (
	// AfterSweep leaves it to the pod that sweeps: within its SweepInterval after the commit. It costs the writer nothing
	// beyond the row in the log, and no trouble with notifications can fail the writer's commit.
	AfterSweep Announce = iota

	// InTransaction has the trigger itself send a NOTIFY, which makes all pods read the log when the transaction has
	// committed: some milliseconds after a commit that comes alone; while commits follow one another each pod reads once
	// in SweepInterval or PollInterval, whichever is less. The price is paid by every transaction that changes the table:
	// NOTIFY takes a lock of the whole cluster over the flush to disk, so such transactions commit one after the other; a
	// full notification queue fails them; and they cannot be prepared (two-phase commit). It is for tables that change
	// seldom and urgently.
	InTransaction
)

// String returns the name in words: after-sweep, in-transaction.
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
