package main

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Use is what one who shares a lease does in a transaction that it guards.
type Use struct {
	Key     string
	Token   int64
	Element int64 // by which the transaction is found again
	How     lockHow
	Think   time.Duration // within the transaction
}

// Used is what became of a Use, and how long after it was asked for the pod began with it.
type Used struct {
	Outcome Outcome
	After   time.Duration
	Torn    bool // the set changed between two reads: somebody who has it alone wrote it meanwhile
	Crowded bool // all places of the semaphore were taken by transactions that others guard
}

const (
	takeSlot = "SELECT slot FROM lockslot WHERE key = $1 FOR UPDATE SKIP LOCKED LIMIT 1"
	noteUse  = "INSERT INTO lockwrite (element, key, token, shared) VALUES ($1, $2, $3, true)"
)

// Use reads a set, thinks, and reads it again, all in one transaction. While a guard keeps those out who want the lease
// alone the set does not change, and while it keeps a place of a semaphore there is a slot for it: there are as many rows to
// be locked as places, and both locks end at the same instant.
func (h *holder) Use(u Use, out *Used) error {
	begun := time.Now()
	out.Outcome = Refused
	lease := h.lease(u.Token)
	if lease == nil || lease.Err() != nil {
		return nil
	}

	ctx, cancel := context.WithTimeout(h.p.ctx, 2*writeTimeout) // it may be stopped within
	defer cancel()

	tx, err := h.p.pool.Begin(ctx)
	if err != nil {
		return nil //nolint:nilerr // refused
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after Commit this does nothing

	out.After = time.Since(begun)
	if err := h.useIn(ctx, tx, lease, u, out); err != nil {
		*out = Used{Outcome: Refused}
		return nil //nolint:nilerr // refused
	}

	out.Outcome = Done
	if err := tx.Commit(ctx); err != nil { // a guard promises nothing of what is not committed
		*out = Used{Outcome: Unknown}
	}

	return nil
}

func (h *holder) useIn(ctx context.Context, tx pgx.Tx, lease heldLease, u Use, out *Used) error {
	if !h.p.cfg.Lock.Unguarded.shares() {
		if err := lease.Guard(ctx, tx); err != nil {
			return err
		}
	}
	if u.How.most() > 0 {
		var slot int
		rows, err := tx.Query(ctx, takeSlot, u.Key)
		if err != nil {
			return err
		}
		tag, err := pgx.ForEachRow(rows, []any{&slot}, func() error { return nil })
		if err != nil {
			return err
		}
		out.Crowded = tag.RowsAffected() == 0
	}

	var before, after []int64
	if err := tx.QueryRow(ctx, readSet, u.Key).Scan(&before); err != nil {
		return err
	}
	time.Sleep(u.Think)
	if err := tx.QueryRow(ctx, readSet, u.Key).Scan(&after); err != nil {
		return err
	}
	out.Torn = !slices.Equal(before, after)
	_, err := tx.Exec(ctx, noteUse, u.Element, u.Key, u.Token)
	return err
}

// unguarded is what does without Guard, which must show.
type unguarded string

const (
	guardedAll      unguarded = ""
	unguardedAlone  unguarded = "alone"
	unguardedShares unguarded = "shares"
)

func (u unguarded) alone() bool  { return u == unguardedAlone }
func (u unguarded) shares() bool { return u == unguardedShares }

// makeSlots makes as many rows for each key as its semaphore has places.
const makeSlots = `CREATE TABLE lockslot (key text NOT NULL, slot integer NOT NULL, PRIMARY KEY (key, slot));
	INSERT INTO lockslot SELECT key, slot FROM lockset, generate_series(1, `

func slotsOf(places int) string { return makeSlots + strconv.Itoa(places) + ") AS slot" }
