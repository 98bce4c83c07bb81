package sessionstore

import (
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Weaken switches guards off, those of the store and those of its cache, to show that they are needed. It is
// called before the store is used and before its bus runs.
func (a *adapter[T]) Weaken(guards hook.SessionGuards, caches hook.CacheGuards) {
	s := a.s
	s.weak = guards
	s.rows.Weaken(hook.Token{}, caches)
	if s.tier != nil {
		s.tier.open = guards.TierOpen
	}

	if guards.SaveEnded {
		s.sql.save = strings.Replace(s.sql.save, "s.user_id IS NULL OR ", "true OR ", 1) // statements have no line breaks
	}
	if guards.LoginsOutliveAll {
		s.sql.revokeAllFloor = "SELECT"
	}

	if guards.CountGenerations {
		s.countGenerations()
	}
	if guards.TakeAgain {
		take := strings.Replace(s.sql.take, "DELETE FROM", "SELECT binding, data, expires_at > clock_timestamp() FROM", 1)
		s.sql.take, _, _ = strings.Cut(take, "RETURNING")
	}
}

// countGenerations makes the statements about generations those of the version before.
func (s *Store[T]) countGenerations() {
	q, next := s.sql, pgx.Identifier{s.cfg.Schema}.Sanitize()+".next_generation()"
	count := func(sql *string, replacements ...string) { *sql = strings.NewReplacer(replacements...).Replace(*sql) }
	count(&q.generation, "greatest(", "coalesce(NULL, 0, ")
	q.enterUser = "INSERT INTO " + pgx.Identifier{s.cfg.Schema, "session_user"}.Sanitize() + ` (user_id)
		SELECT $1::text WHERE $2::bigint IS NOT NULL ON CONFLICT (user_id) DO NOTHING`
	count(&q.create, "NOT $17::boolean AND ", "", "WHERE $17::boolean", "WHERE $17::boolean AND false")
	count(&q.revokeUser, next, "1", "EXCLUDED.gen", "u.gen + 1")
	count(&q.revokeOthers, next, "u.gen + 1", " AND s.user_id = raised.user_id AND s.gen = raised.before", "")
	count(&q.revokeAllUsers, next, "gen + 1")
	q.forgetAbsent = "SELECT $1::text"
	count(&q.forgetSessions, "revoked_at IS NULL", "false")

	for _, sweep := range []*string{&q.sweepEnded, &q.sweepOrphans, &q.sweepWalk} {
		count(sweep, "l.gen <> t.gen", "l.gen < t.gen", "s.gen IS DISTINCT FROM (", "s.gen < (")
	}
}

// keep is how long a row is kept in memory.
func (s *Store[T]) keep(r *row[T]) time.Duration {
	if s.weak.KeepExpired {
		return cache.Forever
	}
	return r.keep()
}
