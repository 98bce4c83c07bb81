package sessionstore

import (
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Weaken switches guards off, those of the store and those of the cache it stands on, to show that they are needed. It is
// called before the store is used and before its bus runs.
func (a *adapter[T]) Weaken(guards hook.SessionGuards, caches hook.CacheGuards) {
	s := a.s
	s.weak = guards
	s.rows.Weaken(hook.Token{}, caches)
	if s.tier != nil {
		s.tier.open = guards.TierOpen
	}
	if guards.SaveEnded {
		s.sql.save = withoutLine(s.sql.save, "s.gen = ")
	}
	if guards.TakeAgain {
		take := strings.Replace(s.sql.take, "DELETE FROM", "SELECT binding, data, expires_at > clock_timestamp() FROM", 1)
		s.sql.take, _, _ = strings.Cut(take, "RETURNING")
	}
}

// withoutLine leaves out the one line of a statement that contains a text.
func withoutLine(sql, text string) string {
	before, after, found := strings.Cut(sql, text)
	if !found {
		return sql
	}
	_, rest, _ := strings.Cut(after, "\n")
	return before[:strings.LastIndex(before, "\n")+1] + rest
}

// keep is how long a row is kept in memory.
func (s *Store[T]) keep(r *row[T]) time.Duration {
	if s.weak.KeepExpired {
		return cache.Forever
	}
	return r.keep()
}
