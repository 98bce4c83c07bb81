package sessionstore

import (
	"context"
	"embed"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/door"
)

// The statements that only adapters of other frameworks need.
//
//go:embed adapter/*.sql
var adapterFiles embed.FS

// adapter is what this module's own packages may do with a store.
type adapter[T any] struct{ s *Store[T] }

// Adapter is for this module: other modules cannot name the type of its parameter. It has what the adapters of other
// frameworks need beyond the public methods, and the switches of the fault tests.
func (s *Store[T]) Adapter(hook.Token) *adapter[T] { return &adapter[T]{s} } //nolint:revive // its type is for them as well

func (s *Store[T]) adapterSQL(name string) string {
	return sqltext.Load(adapterFiles, "adapter/"+name+".sql", s.cfg.Schema)
}

// End is Revoke for frameworks that renew a token by ending the old session and storing a new one. The first End leaves
// the session renewable. One more means a logout that has met a renewal, and then the logout wins: whatever continues the
// session is ended, and nothing can continue it any more.
func (a *adapter[T]) End(ctx context.Context, token string) (bus.Receipt, error) {
	s := a.s
	p, err := s.present(token)
	if err != nil {
		return bus.Receipt{}, err
	}
	if err := s.known(ctx, &p); err != nil {
		return bus.Receipt{}, err
	}

	revoke := s.revoke(ctx, &p)
	return s.ending(ctx, ReasonLogout, func(tx pgx.Tx, c *changes) (int, error) {
		n, err := revoke(tx, c)
		if err != nil || n > 0 {
			return n, err
		}
		r, err := s.read(ctx, tx, p.key)
		if err != nil {
			return 0, err
		}
		n, err = s.revokeByID(ctx, r.info.User, r.info.ID)(tx, c)
		if errors.Is(err, ErrNotFound) {
			return 0, nil
		}
		return n, err
	})
}

// EndForGood is Revoke after which nothing continues the session, for frameworks that distinguish a logout from a renewal. It
// ends what continues the session already.
func (a *adapter[T]) EndForGood(ctx context.Context, token string) (bus.Receipt, error) {
	s := a.s
	p, err := s.present(token)
	if err != nil {
		return bus.Receipt{}, err
	}
	if err := s.known(ctx, &p); err != nil {
		return bus.Receipt{}, err
	}

	revoke := s.revoke(ctx, &p)
	return s.ending(ctx, ReasonLogout, func(tx pgx.Tx, c *changes) (int, error) {
		n, err := revoke(tx, c)
		if err != nil {
			return n, err
		}
		r, err := s.read(ctx, tx, p.key)
		if err != nil {
			return n, err
		}
		if _, err = s.revokeByID(ctx, r.info.User, r.info.ID)(tx, c); errors.Is(err, ErrNotFound) {
			err = nil
		}
		return n, err
	})
}

// EndForRenewal is Revoke for a session that goes on under another token, and returns what it held at that moment, from
// any pod. It is nil if the data cannot be read.
func (a *adapter[T]) EndForRenewal(ctx context.Context, token string) (last *Session[T], err error) {
	s := a.s
	p, err := s.present(token)
	if err != nil {
		return nil, err
	}
	if err := s.known(ctx, &p); err != nil {
		return nil, err
	}

	revoke := s.revoke(ctx, &p)
	_, err = s.ending(ctx, ReasonLogout, func(tx pgx.Tx, c *changes) (int, error) {
		r, err := s.readLocked(ctx, tx, &p)
		if err != nil {
			return 0, err
		}
		if last, err = s.session(r, &p.secret, r.elapsed()); err != nil && !errors.Is(err, ErrUnreadable) {
			return 0, err
		}
		return revoke(tx, c)
	})
	if err != nil {
		return nil, err
	}
	return last, nil
}

// Renewal returns what the continuation of a session may have, for Commit with the same ID. ErrRevoked: nothing continues
// it, because it was ended otherwise than by its holder, or by the holder twice; or it is not over.
func (a *adapter[T]) Renewal(ctx context.Context, id uuid.UUID) (r door.Renewal[Login], err error) {
	var remaining int64
	err = a.s.pool.QueryRow(ctx, a.s.adapterSQL("renewal"), id.String(), string(ReasonLogout)).
		Scan(&r.Login.user, &r.Login.gen, &remaining, &r.Issuer, &r.SID)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, ErrRevoked
	}
	if err != nil {
		return r, explain("renewal", err)
	}
	if r.Login.user == "" {
		r.Login = Login{}
	}

	r.Remaining = micros(remaining)
	return r, nil
}

// ImportMark returns what BeginImported needs to know from before anything was read that is to be imported.
func (a *adapter[T]) ImportMark(ctx context.Context) (m door.ImportMark, err error) {
	err = a.s.pool.QueryRow(ctx, a.s.adapterSQL("import_mark")).Scan(&m.At, &m.Floor)
	return m, explain("import", err)
}

// BeginImported is BeginLogin for a session that was another store's; an empty user is an anonymous session. ErrLoginEnded: the
// user's sessions were ended since the mark. The imported one would be one of them, had it been here by then.
func (a *adapter[T]) BeginImported(ctx context.Context, user string, since door.ImportMark) (Login, error) {
	if err := checkOwner(user); err != nil {
		return Login{}, err
	}

	l := Login{user: user}
	var ended bool
	err := a.s.pool.QueryRow(ctx, a.s.adapterSQL("begin_imported"), user, since.At, since.Floor).Scan(&l.gen, &ended)
	switch {
	case err != nil:
		return Login{}, explain("import", err)
	case ended:
		return Login{}, ErrLoginEnded
	case user == "":
		return Login{}, nil
	}
	return l, nil
}

// Each calls fn with every valid session whose data can be read without its token, in no particular order: data that is
// encrypted or that the codec does not know is left out. It keeps a connection until it is done. An error of fn ends it.
func (a *adapter[T]) Each(ctx context.Context, fn func(*Session[T]) error) error {
	s := a.s
	asked := s.cfg.now()
	rows, err := s.pool.Query(ctx, s.adapterSQL("each"))
	if err != nil {
		return explain("each", err)
	}
	defer rows.Close()

	for rows.Next() {
		r := &row[T]{now: s.cfg.now, asked: asked, current: true}
		var deadline, seen int64
		if err := r.info.scan(rows, &r.version, &r.data, &deadline, &seen); err != nil {
			return explain("each", err)
		}
		r.untilDeadline, r.sinceSeen = micros(deadline), micros(seen)
		if len(r.data) > 0 && r.data[0] == envelopeSealed {
			continue
		}
		got, err := s.session(r, nil, r.elapsed())
		if errors.Is(err, ErrUnreadable) {
			continue
		}
		if err != nil {
			return err
		}
		if err := fn(got); err != nil {
			return err
		}
	}
	return explain("each", rows.Err())
}

// SweepTurn does what Run does after each interval, at once and without rests: for measurements.
func (a *adapter[T]) SweepTurn(ctx context.Context, interval time.Duration) error {
	return a.s.sweep(ctx, 0, &walk{share: float64(interval) / float64(walkPeriod)})
}
