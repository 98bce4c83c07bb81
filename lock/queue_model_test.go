package lock_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/leasequeue"
	"github.com/pgcoherence/pgcoherence/lock"
)

// queueOps are the statements of the model, each for one of three clients.
var queueOps = []string{"try", "take", "claim", "enqueue", "release", "release free", "leave", "renew", "touch", "guard"}

const queueClients = 3

// queueStep is one statement; with the op "tick" it is time that passes, and with "unguard" the end of a transaction.
type queueStep struct {
	op string
	id leasequeue.ID
}

func queueSteps(s *leasequeue.State) (list []queueStep) {
	for id := leasequeue.ID(1); id <= queueClients; id++ {
		for _, op := range queueOps {
			if op == "guard" && s.Guarded > 0 {
				continue
			}
			list = append(list, queueStep{op, id})
		}
	}
	if s.Guarded > 0 {
		list = append(list, queueStep{"unguard", 0})
	}
	return append(list, queueStep{"tick", 0})
}

// take runs a step on the model and returns what the statement would return.
func (x queueStep) take(s *leasequeue.State) string {
	switch x.op {
	case "try":
		return fmt.Sprint(s.Try(x.id))
	case "take":
		return fmt.Sprint(s.Take(x.id))
	case "claim":
		return fmt.Sprint(s.Claim(x.id))
	case "enqueue":
		return fmt.Sprint(s.Enqueue(x.id))
	case "release":
		return fmt.Sprint(s.Release(s.Holds - 1 + int32(x.id%2))) // its own token, or one of before
	case "release free":
		return fmt.Sprint(s.ReleaseFree(s.Holds - 1 + int32(x.id%2)))
	case "leave":
		return fmt.Sprint(s.Leave(x.id))
	case "renew":
		return fmt.Sprint(s.Renew(s.Holds - 1 + int32(x.id%2)))
	case "touch":
		return fmt.Sprint(s.Touch(x.id))
	case "guard":
		return fmt.Sprint(s.Guard(x.id, s.Holds))
	case "unguard":
		s.Unguard()
	case "tick":
		s.Now++
	}
	return ""
}

// queueStates returns the states that the model reaches, breadth first, until there are no more or the limit is reached.
// Tokens and places are bounded, or there would be no end.
func queueStates(limit int) (states []leasequeue.State) {
	seen := map[string]bool{}
	add := func(s leasequeue.State) {
		key := string(s.Append(nil))
		if seen[key] || s.Token > 3 || s.Place > 4 || len(states) >= limit {
			return
		}
		seen[key] = true
		states = append(states, s)
	}
	add(leasequeue.State{})
	for done := 0; done < len(states); { // they become more
		from := states[done]
		for _, x := range queueSteps(&from) {
			next := from.Clone()
			x.take(&next)
			add(next)
		}
		done++
	}
	return states
}

// queueSQL runs the shipped statements on one key. A tick is an hour.
type queueSQL struct {
	tx       pgx.Tx // of the rows; rolled back after each step
	queries  map[string]string
	base     int64 // what tokens of the model are counted from
	key      string
	server   time.Time
	database string
	relation uint32
}

const (
	queueTick = time.Hour
	queueID   = "00000000-0000-0000-0000-%012d"
)

func uuidOf(id leasequeue.ID) string { return fmt.Sprintf(queueID, id) }

func ms(ticks int) int64 { return (time.Duration(ticks) * queueTick).Milliseconds() }

// put brings the rows into a state.
func (q *queueSQL) put(ctx context.Context, s *leasequeue.State) error {
	at := func(t int32) string {
		if t == leasequeue.Free {
			return "'-infinity'::timestamptz"
		}
		return fmt.Sprintf("clock_timestamp() + %d * interval '1 hour'", t-s.Now)
	}
	next, until := "NULL", "NULL"
	if s.Next != 0 {
		next, until = "'"+uuidOf(s.Next)+"'", at(s.NextUntil)
	}

	batch := "DELETE FROM pgcoherence.lease; DELETE FROM pgcoherence.lease_waiter;" +
		fmt.Sprintf("SELECT setval('pgcoherence.lease_token', %d);", q.base+int64(s.Token)) +
		fmt.Sprintf("SELECT setval('pgcoherence.lease_waiter_place_seq', %d, false);", s.Place+1)
	if s.Exists {
		batch += fmt.Sprintf("INSERT INTO pgcoherence.lease (key, token, grant_id, expires_at, queued, next_id, next_until, head)"+
			" VALUES ('%s', %d, '%s', %s, %t, %s, %s, %d);",
			q.key, q.base+int64(s.Holds), uuidOf(s.Grant), at(s.Expires), s.Queued, next, until, s.Head)
	}
	for _, w := range s.Waiters {
		batch += fmt.Sprintf("INSERT INTO pgcoherence.lease_waiter (id, key, place, seen_at, member) OVERRIDING SYSTEM VALUE"+
			" VALUES ('%s', '%s', %d, %s, '%s');", uuidOf(w.ID), q.key, w.Place, at(w.Seen), uuidOf(w.ID))
	}
	_, err := q.tx.Exec(ctx, batch, pgx.QueryExecModeSimpleProtocol)
	return err
}

// get reads the rows as a state of the model, at the time of another one.
func (q *queueSQL) get(ctx context.Context, now int32) (s leasequeue.State, err error) {
	hours := func(h *float64) int32 {
		switch {
		case h == nil:
			return 0
		case math.IsInf(*h, -1):
			return leasequeue.Free
		}
		return now + int32(math.Round(*h))
	}
	number := func(id *string) leasequeue.ID {
		if id == nil {
			return 0
		}
		n, _ := strconv.Atoi((*id)[24:])
		return leasequeue.ID(n)
	}

	s.Now = now
	var token, place int64
	if err = q.tx.QueryRow(ctx, `SELECT (SELECT last_value FROM pgcoherence.lease_token),
		(SELECT last_value - (NOT is_called)::int FROM pgcoherence.lease_waiter_place_seq)`).Scan(&token, &place); err != nil {
		return s, err
	}
	s.Token, s.Place = int32(token-q.base), int32(place)

	var holds, head int64
	var grant, next *string
	var expires, until *float64
	err = q.tx.QueryRow(ctx, `SELECT token, grant_id::text, CASE WHEN expires_at = '-infinity' THEN '-infinity'::float8
		ELSE extract(epoch FROM expires_at - clock_timestamp()) / 3600 END::float8, queued, next_id::text,
		(extract(epoch FROM next_until - clock_timestamp()) / 3600)::float8, head FROM pgcoherence.lease WHERE key = $1`, q.key).
		Scan(&holds, &grant, &expires, &s.Queued, &next, &until, &head)
	switch {
	case err == nil:
		s.Exists, s.Holds, s.Grant, s.Expires, s.Next, s.Head = true, int32(holds-q.base), number(grant), hours(expires), number(next), int32(head)
		if s.Next != 0 {
			s.NextUntil = hours(until)
		}
	case err != pgx.ErrNoRows: //nolint:errorlint // it is returned as it is
		return s, err
	}

	rows, err := q.tx.Query(ctx, `SELECT id::text, place, (extract(epoch FROM seen_at - clock_timestamp()) / 3600)::float8
		FROM pgcoherence.lease_waiter WHERE key = $1 ORDER BY place`, q.key)
	if err != nil {
		return s, err
	}
	s.Waiters, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (w leasequeue.Waiter, err error) {
		var id string
		var at int64
		var seen float64
		err = row.Scan(&id, &at, &seen)
		return leasequeue.Waiter{ID: number(&id), Place: int32(at), Seen: hours(&seen)}, err
	})
	return s, err
}

// run runs a step's statement and returns what it returned, in the words of the model.
func (q *queueSQL) run(ctx context.Context, x queueStep, s *leasequeue.State) (string, error) {
	id, token := uuidOf(x.id), q.base+int64(s.Holds)-1+int64(x.id%2)
	query := func(name string, args ...any) pgx.Row { return q.tx.QueryRow(ctx, q.queries[name+".sql"], args...) }
	relative := func(granted *int64) string {
		if granted == nil {
			return "0"
		}
		return fmt.Sprint(*granted - q.base)
	}
	none := func(err error) error { // no row is a result
		if err == pgx.ErrNoRows { //nolint:errorlint // it is Scan's own
			return nil
		}
		return err
	}
	var granted *int64
	var one, heir *string
	var free *bool

	switch x.op {
	case "try":
		err := query("acquire", q.key, id, "owner", ms(leasequeue.TTL), nil, ms(leasequeue.Alive), nil, nil).
			Scan(nil, nil, nil, &granted, nil, nil, nil, nil, nil, nil, nil, nil)
		return relative(granted), err
	case "take":
		err := query("acquire_free", q.key, id, "owner", ms(leasequeue.TTL), nil, q.server, q.database, q.relation).Scan(&granted)
		return relative(granted), none(err)
	case "claim":
		err := query("claim", q.key, id, "owner", ms(leasequeue.TTL), nil, q.server, q.database, q.relation, nil, nil).Scan(&granted)
		return relative(granted), err
	case "enqueue":
		err := query("enqueue", q.key, id, "owner", id, nil, nil, nil, nil).Scan(&free, nil)
		return fmt.Sprint(free != nil, free != nil && *free), none(err)
	case "release":
		err := query("release", q.key, token, 0, ms(leasequeue.Alive), ms(leasequeue.Claim), nil, nil).Scan(&heir)
		return fmt.Sprint(err == nil, idOf(heir)), none(err)
	case "release free":
		err := query("release_free", q.key, token).Scan(&one)
		return fmt.Sprint(err == nil), none(err)
	case "leave":
		err := query("leave", []string{q.key}, []string{id}, ms(leasequeue.Alive), ms(leasequeue.Claim), nil, nil).Scan(&heir)
		return fmt.Sprint(idOf(heir)), none(err)
	case "renew":
		err := query("renew", []string{q.key}, []int64{token}, []int64{ms(leasequeue.TTL)}, nil, nil).Scan(&granted)
		return fmt.Sprint(granted != nil), none(err)
	case "touch":
		err := query("touch", []string{id}, ms(leasequeue.Alive), ms(leasequeue.Claim)).Scan(nil, &free, nil, nil, nil, nil)
		return fmt.Sprint(free != nil, free != nil && *free), none(err)
	case "guard":
		var n int
		err := query("guard", q.key, q.base+int64(s.Holds), id, q.database).Scan(&n)
		return fmt.Sprint(err == nil), none(err)
	}
	return "", nil
}

func idOf(text *string) leasequeue.ID {
	if text == nil {
		return 0
	}
	n, _ := strconv.Atoi((*text)[24:])
	return leasequeue.ID(n)
}

// The model of internal/lab/leasequeue, which internal/lab/explore searches, does what the shipped statements do: from each
// state that it reaches, each statement changes the rows as the model says and returns what it says. The test takes an even
// sample; PGCOHERENCE_QUEUE_STATES=20000 takes that many states.
func TestQueueModel(t *testing.T) {
	t.Parallel()
	sample := 40
	if text := os.Getenv("PGCOHERENCE_QUEUE_STATES"); text != "" {
		var err error
		sample, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	states := queueStates(max(20_000, sample))
	chosen := states
	if every := len(states) / sample; every > 1 {
		chosen = nil
		for i := 0; i < len(states); i += every {
			chosen = append(chosen, states[i])
		}
	}

	_, pool := setup(t)
	ctx := t.Context()
	q := newQueueSQL(t, pool)
	steps := map[string]int{}
	for i := range chosen {
		compareQueue(ctx, t, pool, q, &chosen[i], steps)
	}
	t.Logf("%d of %d states, statements: %v", len(chosen), len(states), steps)
	for _, op := range queueOps {
		require.Positive(t, steps[op], op)
	}
}

func newQueueSQL(t *testing.T, pool *pgxpool.Pool) *queueSQL {
	t.Helper()
	queries, err := lock.Queries(lock.DefaultSchema)
	require.NoError(t, err)
	q := &queueSQL{queries: queries, key: "k"}
	// The row must describe this server, or nothing is granted.
	_, err = pool.Exec(t.Context(), "SELECT pgcoherence.raise_incarnation(false, 'test')")
	require.NoError(t, err)
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT pg_postmaster_start_time(), current_database(), 'pgcoherence.lease'::regclass::oid,
		(SELECT last_value FROM pgcoherence.lease_token)`).Scan(&q.server, &q.database, &q.relation, &q.base))
	return q
}

// compareQueue runs every statement from one state, on the model and on Postgres.
func compareQueue(ctx context.Context, t *testing.T, pool *pgxpool.Pool, q *queueSQL, s *leasequeue.State, steps map[string]int) {
	t.Helper()
	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()
	q.tx = nil

	// The rows are committed, so that a guard of another transaction can lock one.
	tx, err := conn.Begin(ctx)
	require.NoError(t, err)
	q.tx = tx
	require.NoError(t, q.put(ctx, s))
	require.NoError(t, tx.Commit(ctx))
	if s.Guarded > 0 {
		other, err := pool.Begin(ctx)
		require.NoError(t, err)
		defer func() { _ = other.Rollback(context.WithoutCancel(ctx)) }()
		_, err = other.Exec(ctx, "SELECT FROM pgcoherence.lease WHERE key = $1 FOR KEY SHARE", q.key)
		require.NoError(t, err)
	}

	for _, x := range queueSteps(s) {
		if !slices.Contains(queueOps, x.op) {
			continue
		}
		q.tx, err = conn.Begin(ctx)
		require.NoError(t, err)
		_, err = q.tx.Exec(ctx, "SELECT setval('pgcoherence.lease_token', $1), setval('pgcoherence.lease_waiter_place_seq', $2, false)",
			q.base+int64(s.Token), s.Place+1) // the steps before have used them, and sequences are not rolled back
		require.NoError(t, err)

		want := s.Clone()
		result := x.take(&want)
		got, err := q.run(ctx, x, s)
		require.NoError(t, err, "%+v from %+v", x, *s)
		rows, err := q.get(ctx, s.Now)
		require.NoError(t, err)
		require.NoError(t, q.tx.Rollback(ctx))
		steps[x.op]++

		require.Equal(t, result, got, "%+v from %+v", x, *s)
		want.Guarded = 0 // it is no row
		require.Equal(t, string(want.Append(nil)), string(rows.Append(nil)), "%+v from %+v:\nmodel    %+v\nPostgres %+v", x, *s, want, rows)
	}
}
