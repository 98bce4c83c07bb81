package main

import "time"

// overlap is for how long, at the most, a pod relied on a lease after somebody else had been granted it: by what Err and
// ValidFor say, and by the lease's context.
type overlap struct{ claim, context time.Duration }

// overlapOf compares every answer of a pod with the grants of greater tokens that were known before it was asked, and that
// do not go together with it. A pod that says "valid" was asked at call: the answer is from then or later.
func overlapOf(history []lockOp, alive []lockOp) (o overlap) {
	granted := map[string][]lockOp{}
	for _, op := range history {
		if op.kind == lockAcquire && op.outcome == Done {
			granted[op.key] = append(granted[op.key], op)
		}
	}

	longest := func(claims []lockOp) (most time.Duration) {
		for _, c := range claims {
			for _, g := range granted[c.key] {
				if g.token > c.token && !g.how.beside(c.how) {
					most = max(most, c.call-g.answer)
				}
			}
		}
		return most
	}

	var claims []lockOp
	for _, op := range history {
		if op.kind == lockClaim && op.outcome == Done {
			claims = append(claims, op)
		}
	}

	return overlap{longest(claims), longest(alive)}
}
