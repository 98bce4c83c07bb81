package main

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// lockKind is what was done to a lease.
type lockKind string

const (
	lockAcquire lockKind = "acquire"
	lockClaim   lockKind = "renew"   // the pod relies on it: it has been renewed in time
	lockAdd     lockKind = "guard"   // a transaction that it guards commits
	lockHeld    lockKind = "held"    // the database says who has it
	lockRelease lockKind = "release" // by its owner
	lockExpire  lockKind = "expire"  // by itself: nobody does it, and it may happen from some time on
)

// lockOp is one operation, as this process saw it: call and answer bracket the moment at which it happened.
type lockOp struct {
	kind         lockKind
	key          string
	client       int
	token        int64
	how          lockHow
	outcome      Outcome
	element      int64
	valid        time.Duration // of claims and grants: for how long the pod relies on it from then on
	call, answer time.Duration // since the beginning; answer 0: none came
}

// lockState is what the model knows of one lease: who has it, how, and the last token. The tokens of the holders are text,
// eight bytes each in their order, so that states can be compared.
type lockState struct {
	holders string
	how     lockHow
	last    int64
}

const tokenBytes = 8

func tokenText(token int64) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(token)))
}

func (s lockState) count() int { return len(s.holders) / tokenBytes }

// find is where a holder's token begins; -1: it is none.
func (s lockState) find(token int64) int {
	text := tokenText(token)
	for i := 0; i < len(s.holders); i += tokenBytes {
		if s.holders[i:i+tokenBytes] == text {
			return i
		}
	}
	return -1
}

func (s lockState) holds(token int64) bool { return s.find(token) >= 0 }

// without is the state after a holder's end.
func (s lockState) without(token int64) lockState {
	i := s.find(token)
	s.holders = s.holders[:i] + s.holders[i+tokenBytes:]
	if s.holders == "" {
		s.how = lockAlone
	}
	return s
}

// with is the state after a grant; tokens grow, so the order stays.
func (s lockState) with(token int64, how lockHow) lockState {
	return lockState{s.holders + tokenText(token), how, token}
}

// admits reports whether one more may have the lease.
func (s lockState) admits(how lockHow) bool {
	return s.holders == "" || how.beside(s.how) && (how.most() == 0 || s.count() < how.most())
}

// lockModel is a mutex, a semaphore or a lock for readers and writers, with growing tokens. Only who has it can guard, renew
// and release; it is granted only when nobody has it, or beside others who share it, with a token greater than all before. An
// expiry is an operation of its own.
var lockModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{lockState{}} },
	Step: func(state, input, _ any) []any {
		s, ok := state.(lockState)
		op, isOp := input.(lockOp)
		if !ok || !isOp {
			return nil
		}
		return s.step(op)
	},
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			if op, ok := o.Input.(lockOp); ok {
				byKey[op.key] = append(byKey[op.key], o)
			}
		}
		return slices.Collect(maps.Values(byKey))
	},
}

// step answers the states in which an operation may leave the lease; none if it could not have happened.
func (s lockState) step(op lockOp) []any {
	switch op.kind {
	case lockAcquire:
		if !s.admits(op.how) || op.token <= s.last {
			return nil
		}
		return []any{s.with(op.token, op.how)}
	case lockExpire:
		if s.holds(op.token) {
			return []any{s.without(op.token)}
		}
		return []any{s} // it was released before
	case lockRelease:
		switch {
		case op.outcome == Unknown && s.holds(op.token):
			return []any{s, s.without(op.token)}
		case op.outcome == Unknown:
			return []any{s}
		case !s.holds(op.token):
			return nil
		}
		return []any{s.without(op.token)}
	case lockClaim, lockAdd, lockHeld:
		if !s.holds(op.token) {
			return nil
		}
	}
	return []any{s}
}

// lockVerdict is what a history comes to.
type lockVerdict struct {
	operations int // that were checked
	bad        []string
}

// lockCheckTimeout bounds the search for an order: a history that takes longer counts as bad.
const lockCheckTimeout = 20 * time.Second

// checkLocks reports whether the operations on each key can be put in an order that a mutex allows and that agrees with the
// time, and whether tokens grow over all keys. What was refused constrains nothing and is left out; so is what nobody
// heard of again and nothing shows the effect of. lost is when grants may have been lost, with the server that had them
// (0: never): who was granted a lease before that may be passed over from then on, although he relies on it.
func checkLocks(history []lockOp, lost time.Duration) lockVerdict {
	var end time.Duration
	for _, op := range history {
		end = max(end, op.call, op.answer)
	}

	end++
	operations, v := lockOperations(history, lost, end), lockVerdict{}
	for _, o := range operations {
		if op, ok := o.Input.(lockOp); ok && op.kind != lockExpire {
			v.operations++
		}
	}

	for _, part := range lockModel.Partition(operations) {
		op, _ := part[0].Input.(lockOp)
		switch porcupine.CheckOperationsTimeout(lockModel.ToModel(), part, lockCheckTimeout) {
		case porcupine.Ok:
		case porcupine.Illegal:
			v.bad = append(v.bad, fmt.Sprintf("the %d operations on %s are none of a mutex%s", len(part), op.key, suspect(part)))
		case porcupine.Unknown:
			v.bad = append(v.bad, fmt.Sprintf("the %d operations on %s could not be checked in %v", len(part), op.key, lockCheckTimeout))
		}
	}

	v.bad = append(v.bad, shrinking(history)...)
	return v
}

// lockOperations are those that constrain something, and the expiries.
func lockOperations(history []lockOp, lost, end time.Duration) []porcupine.Operation {
	var all []porcupine.Operation
	add := func(op lockOp) {
		answer := op.answer
		if answer == 0 {
			answer = end
		}
		all = append(all, porcupine.Operation{ClientId: op.client, Input: op, Call: int64(op.call), Return: int64(answer)})
	}

	granted := map[int64]lockOp{}
	expires := map[int64]time.Duration{}
	for _, op := range history {
		if op.kind == lockAcquire && op.outcome == Done {
			granted[op.token] = op
		}
		if (op.kind == lockAcquire || op.kind == lockClaim) && op.outcome == Done {
			expires[op.token] = max(expires[op.token], op.call+op.valid)
		}
	}

	for _, op := range history {
		_, known := granted[op.token]
		switch {
		case op.outcome == Refused, !known: // a grant that nobody heard of
		case lost > 0 && (op.kind == lockClaim || op.kind == lockHeld): // overlaps says more
		case op.kind == lockRelease && op.outcome == Unknown:
			op.answer = 0
			add(op)
		case op.outcome == Done:
			add(op)
			if op.kind == lockRelease {
				delete(expires, op.token)
			}
		}
	}

	for token, at := range expires {
		if lost > 0 {
			at = min(at, max(lost, granted[token].call))
		}
		if at >= end {
			continue // nobody can have been granted it after that
		}
		add(lockOp{kind: lockExpire, key: granted[token].key, token: token, outcome: Done, call: at})
	}

	return all
}

// shrinking lists grants with a token that is not greater than one that had been answered before they were asked for.
func shrinking(history []lockOp) (bad []string) {
	var grants []lockOp
	for _, op := range history {
		if op.kind == lockAcquire && op.outcome == Done {
			grants = append(grants, op)
		}
	}

	byAnswer := slices.SortedFunc(slices.Values(grants), func(a, b lockOp) int { return cmp.Compare(a.answer, b.answer) })
	slices.SortFunc(grants, func(a, b lockOp) int { return cmp.Compare(a.call, b.call) })

	var most lockOp
	for _, g := range grants {
		for len(byAnswer) > 0 && byAnswer[0].answer < g.call {
			if byAnswer[0].token > most.token {
				most = byAnswer[0]
			}
			byAnswer = byAnswer[1:]
		}
		if g.token <= most.token {
			bad = append(bad, fmt.Sprintf("token %d of %s was granted after %d of %s", g.token, g.key, most.token, most.key))
		}
	}

	return bad
}

// suspect names the first operation of a token that began after the answer to a grant of a greater one: what most often
// is wrong, for people.
func suspect(part []porcupine.Operation) string {
	for _, o := range part {
		op, _ := o.Input.(lockOp)
		if op.kind != lockClaim && op.kind != lockAdd {
			continue
		}

		for _, other := range part {
			next, _ := other.Input.(lockOp)
			if next.kind == lockAcquire && next.token > op.token && !next.how.beside(op.how) && other.Return < o.Call {
				return fmt.Sprintf(": %s by token %d at %v, after %d had been granted at %v", op.kind, op.token,
					op.call.Round(time.Millisecond), next.token, next.answer.Round(time.Millisecond))
			}
		}
	}
	return ""
}
