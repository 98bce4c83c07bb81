package bus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

// PgxExecer is a pgx transaction of the caller: a pgx.Tx, a connection that is in a transaction, or what a library
// runs the statements of a transaction on.
type PgxExecer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// SQLExecer is a database/sql transaction of the caller: a *sql.Tx, a *sql.Conn that is in a transaction, or what a
// library such as GORM runs the statements of a transaction on.
type SQLExecer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Staged is the result of staging events in a transaction that other code commits. Call Committed after a successful
// commit. If the process forgets that, or dies before, nothing is lost: the events are in the log with the data, and
// the sweep announces them.
type Staged struct {
	bus    *Postgres
	local  *Local // instead of bus, with no xid, first and epoch
	events []Event
	xid    uint64
	first  int32
	epoch  string
}

// Committed drops the keys from this pod's own caches, announces the events, and returns the receipt. It must not be
// called before the commit. After a rollback it does no harm.
func (s *Staged) Committed() Receipt {
	if s == nil || len(s.events) == 0 {
		return Receipt{}
	}
	if s.local != nil {
		return s.local.committed(s.events)
	}
	r := Receipt{epoch: s.epoch, xid: s.xid}
	s.bus.committed(s.events, r, s.first)
	return r
}

// Stage writes events to the log in a pgx transaction of the caller. It takes one round trip. An invalid event is an
// error before anything is sent. Without events it sends nothing. Events must become visible together with the data,
// so Stage returns [ErrNotInTransaction] for a pool and for a connection that is not in a transaction.
//
// If db is neither a pgx.Tx nor a connection of pgx itself, Stage needs a second round trip to check that both
// statements run in one transaction.
func (p *Postgres) Stage(ctx context.Context, db PgxExecer, events ...Event) (*Staged, error) {
	return p.stage(events, pgxTransaction(db), func(query string, args ...any) (text string, err error) {
		err = db.QueryRow(ctx, query, args...).Scan(&text)
		return text, err
	})
}

// StageSQL is Stage for database/sql. It refuses a *sql.DB, and needs the second round trip for everything but a
// *sql.Tx. The driver must accept Postgres's own placeholders, $1, as those of pgx and pq do.
func (p *Postgres) StageSQL(ctx context.Context, db SQLExecer, events ...Event) (*Staged, error) {
	return p.stage(events, sqlTransaction(db), func(query string, args ...any) (text string, err error) {
		err = db.QueryRowContext(ctx, query, args...).Scan(&text)
		return text, err
	})
}

// stage writes events through query, which returns the single text that a statement returns.
func (p *Postgres) stage(events []Event, is inTransaction, query func(string, ...any) (string, error)) (*Staged, error) {
	gathered, err := gather(events, p.cfg.MaxKeys)
	if err != nil || len(gathered) == 0 {
		return &Staged{bus: p}, err
	}

	// Every statement of one transaction has the same xid. In a pool, or outside of a transaction, the second statement
	// finds another one, or none, and inserts nothing.
	var sameAs any
	switch is {
	case transactionNo:
		return nil, fmt.Errorf("bus: stage: %w", ErrNotInTransaction)
	case transactionUnknown:
		if sameAs, err = query(p.sql.transaction); err != nil {
			return nil, fmt.Errorf("bus: stage: %w", explain(err))
		}
	}

	s := &Staged{bus: p, events: gathered, first: p.stageNumbers(len(gathered)), epoch: p.applier.epochNow()}
	rows, err := stagedJSON(gathered, s.first)
	if err != nil {
		return nil, fmt.Errorf("bus: stage: %w", err)
	}
	text, err := query(p.sql.insertEvents, rows, p.ID(), sameAs)
	if errors.Is(err, pgx.ErrNoRows) || errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("bus: stage: %w", ErrNotInTransaction)
	}
	if pgerr.IsNullViolation(err) {
		return nil, fmt.Errorf("bus: stage: %w: topics have to be ASCII unless the database is in UTF8: %w", ErrInvalidEvent, err)
	}
	if err != nil {
		return nil, fmt.Errorf("bus: stage: %w", explain(err))
	}
	if s.xid, err = strconv.ParseUint(text, 10, 64); err != nil {
		return nil, fmt.Errorf("bus: stage: %w", err)
	}
	return s, nil
}

// inTransaction is what the type of a database handle says about whether its statements run in one transaction.
type inTransaction int

const (
	transactionUnknown inTransaction = iota
	transactionYes
	transactionNo
)

func pgxTransaction(db PgxExecer) inTransaction {
	conn := (*pgx.Conn)(nil)
	switch db := db.(type) {
	case pgx.Tx:
		return transactionYes
	case *pgxpool.Pool, nil:
		return transactionNo
	case *pgx.Conn:
		conn = db
	case *pgxpool.Conn:
		conn = db.Conn()
	default:
		return transactionUnknown
	}

	if conn.PgConn().TxStatus() == 'I' {
		return transactionNo
	}

	return transactionYes
}

func sqlTransaction(db SQLExecer) inTransaction {
	switch db.(type) {
	case *sql.Tx:
		return transactionYes
	case *sql.DB, nil:
		return transactionNo
	}
	return transactionUnknown
}

// stageNumbers reserves n numbers. Those of staged events are negative and never come back within a transaction, not
// even after a savepoint was rolled back, so an announcement cannot be taken for that of another event.
func (p *Postgres) stageNumbers(n int) int32 {
	for {
		end := p.staged.Add(uint32(n)) & (1<<31 - 1)
		if end >= uint32(n) {
			return -int32(end) // and n-1 more, up to at most -1
		}
	}
}
