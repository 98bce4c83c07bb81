package cache

import "time"

// Policy is what becomes of reads while the bus is not fresh, that is, while it cannot prove that what the cache holds is
// in sync. The zero Policy is Bypass.
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

// Bypass has every read load; reads of one key at the same time share a load. What the cache holds is kept, and brought
// up to date by the bus before it is served again.
func Bypass() Policy { return Policy{} }

// ServeFor goes on serving what the cache holds for a bounded time after the bus has ceased to be fresh, and then
// bypasses. The bus is told, because Confirm has to wait for it: the time and the bus' StaleAfter have to fit into the
// cluster's pod lease.
func ServeFor(d time.Duration) Policy { return Policy{kind: policyServe, window: d} }

// Clear is Bypass, and the first read that finds the bus not fresh drops all that the cache holds.
func Clear() Policy { return Policy{kind: policyClear} }

// String is the policy's name.
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
