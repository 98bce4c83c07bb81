package lock

import (
	"time"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// Queries lists the embedded statements by name, for a test that prepares each one.
func Queries(schema string) (map[string]string, error) {
	entries, err := queryFiles.ReadDir("query")
	queries := map[string]string{}
	for _, e := range entries {
		queries[e.Name()] = sqltext.Load(queryFiles, "query/"+e.Name(), schema)
	}
	return queries, err
}

// The parts that are tested by themselves.
var (
	Elapsed = elapsed
	Trust   = trust
)

// ID is the grant's id.
func (l *Lease) ID() string { return l.id }

// Backdate makes the lease look as if its newest renewal had been sent earlier.
func (l *Lease) Backdate(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = l.sent.Add(-d)
}

// BackdateWall does so for the wall clock only, as if the machine had been suspended.
func (l *Lease) BackdateWall(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = l.sent.Round(0).Add(-d)
}
