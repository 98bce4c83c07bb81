package cache

import "time"

// Policy says how reads work while the bus is not fresh, that is, while it cannot prove that the cache is in sync.
// The zero Policy is Bypass.
type Policy struct {
	kind   policyKind
	window time.Duration
}

type policyKind uint8

const (
	policyBypass policyKind = iota
	policyServe
	policyClear
)

// Bypass makes every read load; concurrent reads of one key share a load. Entries are kept, and the bus brings the
// cache up to date before they are served again.
func Bypass() Policy { return Policy{} }

// ServeFor keeps serving from the cache for a bounded time after the bus has ceased to be fresh, and then bypasses.
// The bus makes Confirm wait for this time. The sum of it and the bus's StaleAfter must fit into the cluster's pod
// lease.
func ServeFor(d time.Duration) Policy { return Policy{kind: policyServe, window: d} }

// Clear is Bypass, except that the first read that finds the bus not fresh drops all entries.
func Clear() Policy { return Policy{kind: policyClear} }

// String returns the policy's name.
func (p Policy) String() string {
	switch p.kind {
	case policyServe:
		return "serve for " + p.window.String()
	case policyClear:
		return "clear"
	case policyBypass:
	}
	return "bypass"
}
