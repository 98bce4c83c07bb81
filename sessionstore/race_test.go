package sessionstore_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Ending a session races with everything that writes it.
func TestRevokeRaces(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	for round := range 15 {
		token, got := login(t, pods[0], fmt.Sprint("user", round), nil)
		latest := &latestToken{token: token}
		var wg sync.WaitGroup
		for i := range 6 {
			p := pods[i%2]
			wg.Go(func() {
				for range 4 {
					switch i {
					case 0, 1:
						_, _ = p.Update(ctx, latest.get(), func(c *cart) error { c.Note += "x"; return nil })
					case 2:
						if next, _, err := p.Rotate(ctx, latest.get(), &sessionstore.RotateOptions{Grace: time.Minute}); err == nil {
							latest.set(next)
						}
					case 3:
						_, _ = p.Adapter(hook.Token{}).Commit(ctx, latest.get(), cart{Note: "committed"}, &commitOptions{MustExist: true})
					default:
						_ = p.Touch(ctx, latest.get())
						_, _ = p.Get(ctx, latest.get())
					}
				}
			})
		}

		wg.Go(func() {
			var err error
			switch round % 3 {
			case 0:
				_, err = pods[1].RevokeUser(ctx, got.User)
			case 1:
				_, err = pods[1].RevokeByID(ctx, got.User, got.ID)
			case 2:
				// All but one and all at the same time: nothing may be left of either.
				var both sync.WaitGroup
				both.Go(func() { _, _ = pods[0].RevokeUserExcept(ctx, latest.get()) })
				_, err = pods[1].RevokeUser(ctx, got.User)
				both.Wait()
			}

			if err != nil {
				t.Error(err)
			}
		})

		wg.Wait()

		for _, p := range pods {
			for _, tok := range []string{token, latest.get()} {
				_, err := p.GetFresh(ctx, tok)
				require.ErrorIs(t, err, sessionstore.ErrNoSession, "round %d", round)
			}
		}

		n, err := pods[0].Count(ctx, got.User)
		require.NoError(t, err)
		require.Zero(t, n)
	}
}

type latestToken struct {
	mu    sync.Mutex
	token string
}

func (l *latestToken) get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.token
}

func (l *latestToken) set(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.token = token
}
