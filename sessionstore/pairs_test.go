package sessionstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// subject is one session on which two operations meet, and what a model says of it.
type subject struct {
	token string
	old   string // a token in its grace; empty: none
	n     int

	mu      sync.Mutex
	tokens  []string // that were given out
	written []string // what the data has to hold
	revoked bool
	killed  bool // the token it began with may be dead
}

// operation does something on a pod, and tells the model of what has succeeded. Its own errors are no trouble as long as
// they say that somebody else was faster, or that the session is over.
type operation struct {
	name string
	do   func(t *testing.T, p *pod, s *subject, name string) error
}

func (s *subject) wrote(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = append(s.written, name)
}

func (s *subject) rotated(token string, kills bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = append(s.tokens, token)
	s.killed = s.killed || kills
}

// any is one of the tokens that the holder may show.
func (s *subject) any() string {
	if s.old != "" && rand.N(2) == 0 {
		return s.old
	}
	return s.token
}

func operations() []operation {
	add := func(name string) func(c *cart) error {
		return func(c *cart) error {
			if c.Items == nil {
				c.Items = map[string]int{}
			}
			c.Items[name]++
			return nil
		}
	}
	return []operation{
		{"update", func(t *testing.T, p *pod, s *subject, name string) error {
			_, err := p.Update(t.Context(), s.any(), add(name))
			if err == nil {
				s.wrote(name)
			}
			return err
		}},
		{"save", func(t *testing.T, p *pod, s *subject, name string) error {
			token := s.any()
			got, err := p.Get(t.Context(), token)
			if err != nil {
				return err
			}

			_ = add(name)(&got.Data)

			if err = p.Save(t.Context(), token, got); err == nil {
				s.wrote(name)
			}

			return err
		}},
		{"rotate with grace", func(t *testing.T, p *pod, s *subject, _ string) error {
			token, _, err := p.Rotate(t.Context(), s.any(), sessionstore.Periodic(0))
			if err == nil {
				s.rotated(token, true) // the one before the token's own predecessor
			}
			return err
		}},
		{"rotate", func(t *testing.T, p *pod, s *subject, _ string) error {
			token, _, err := p.Rotate(t.Context(), s.any(), nil)
			if err == nil {
				s.rotated(token, true)
			}
			return err
		}},
		{"login", func(t *testing.T, p *pod, s *subject, _ string) error {
			l, err := p.BeginLogin(t.Context(), fmt.Sprint("other", s.n))
			if err != nil {
				return err
			}

			token, _, err := p.Rotate(t.Context(), s.any(), &sessionstore.RotateOptions{Login: l})
			if err == nil {
				s.rotated(token, true)
			}

			return err
		}},
		{"touch", func(t *testing.T, p *pod, s *subject, _ string) error {
			err := p.Touch(t.Context(), s.any())
			p.FlushTouches(t.Context())
			return err
		}},
		{"revoke", func(t *testing.T, p *pod, s *subject, _ string) error {
			_, err := p.Revoke(t.Context(), s.any())
			if err == nil {
				s.mu.Lock()
				s.revoked = true
				s.mu.Unlock()
			}
			return err
		}},
		{"bind", func(t *testing.T, p *pod, s *subject, _ string) error {
			got, err := p.Get(t.Context(), s.any())
			if err == nil {
				_, cancel := p.Bind(t.Context(), got)
				cancel()
			}
			return err
		}},
		{"sweep", func(t *testing.T, p *pod, s *subject, _ string) error {
			_, err := p.pool.Exec(t.Context(), "UPDATE pgcoherence.session SET sweep_at = clock_timestamp()")
			return errors.Join(err, p.Sweep(t.Context()))
		}},
		{"adopt", func(t *testing.T, p *pod, s *subject, name string) error {
			l, err := p.BeginLogin(t.Context(), fmt.Sprint("adopter", s.n))
			if err != nil {
				return err
			}

			_, err = p.Adapter(hook.Token{}).Commit(t.Context(), s.any(), cart{}, &commitOptions{
				MustExist: true, Login: l, Authenticated: true,
				Merge: func(now cart) (cart, error) {
					err := add(name)(&now)
					return now, err
				},
			})
			if err == nil {
				s.wrote(name)
			}

			return err
		}},
		{"import", func(t *testing.T, p *pod, s *subject, name string) error {
			_, err := p.Adapter(hook.Token{}).Commit(t.Context(), s.token, cart{}, &commitOptions{
				MustExist: true, Merge: func(now cart) (cart, error) {
					err := add(name)(&now)
					return now, err
				},
			})
			if err == nil {
				s.wrote(name)
			}

			return err
		}},
		{"set policy", func(t *testing.T, p *pod, s *subject, _ string) error {
			_, err := p.SetPolicy(t.Context(), s.any(), sessionstore.Policy{})
			return err
		}},
	}
}

// Any two operations at the same time on one session, plain or encrypted, or while encryption is switched on: nothing that
// was written is lost, no data becomes unreadable, what was ended stays so, and the holder has a token that works.
func TestPairs(t *testing.T) {
	t.Parallel()
	for name, encrypt := range map[string][2]bool{"plain": {false, false}, "encrypted": {true, true}, "switched on": {false, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t, template)
			a, b := newPod(t, db, "a", &config{Encrypt: encrypt[1]}), newPod(t, db, "b", &config{Encrypt: encrypt[1]})
			maker := newPod(t, db, "m", &config{Encrypt: encrypt[0]})
			n := 0
			for i, one := range operations() {
				for _, two := range operations()[i:] {
					for _, inGrace := range []bool{false, true} {
						n++
						s := &subject{n: n}
						s.token, _ = login(t, maker, fmt.Sprint("user", n), nil)
						if inGrace {
							s.old = s.token
							var err error
							s.token, _, err = maker.Rotate(t.Context(), s.old, sessionstore.Periodic(0))
							require.NoError(t, err)
						}

						for _, p := range []*pod{a, b} {
							_, err := p.Get(t.Context(), s.any())
							require.NoError(t, err)
						}

						errs := make([]error, 2)
						var wg sync.WaitGroup
						wg.Go(func() { errs[0] = one.do(t, a, s, "one") })
						wg.Go(func() { errs[1] = two.do(t, b, s, "two") })
						wg.Wait()
						s.check(t, b, fmt.Sprintf("%s beside %s, in grace: %v (%v, %v)", one.name, two.name, inGrace, errs[0], errs[1]), errs)
					}
				}
			}
		})
	}
}

func (s *subject) check(t *testing.T, p *pod, what string, errs []error) {
	t.Helper()

	for _, err := range errs {
		if err != nil && !errors.Is(err, sessionstore.ErrConflict) && !errors.Is(err, sessionstore.ErrNoSession) && !errors.Is(err, sessionstore.ErrLoginEnded) {
			t.Fatalf("%s: %v", what, err)
		}
	}

	works := 0
	for _, token := range append([]string{s.token}, s.tokens...) {
		got, err := p.GetFresh(t.Context(), token)
		if err != nil {
			require.ErrorIs(t, err, sessionstore.ErrNoSession, what)
			continue
		}

		works++
		require.False(t, s.revoked, "%s: alive after its end", what)
		require.Equal(t, 1, got.Data.Items["tea"], what)

		for _, name := range s.written {
			require.Equal(t, 1, got.Data.Items[name], "%s: a write is lost", what)
		}
	}

	if s.revoked {
		return
	}

	require.Positive(t, works, "%s: no token works", what)

	if !s.killed {
		_, err := p.GetFresh(t.Context(), s.token)
		require.NoError(t, err, what)
	}

	if len(s.tokens) == 1 {
		_, err := p.GetFresh(t.Context(), s.tokens[0])
		require.NoError(t, err, "%s: the token that was given out", what)
	}
}
