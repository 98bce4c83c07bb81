package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// accounts is the cache of the table account.
type accounts = cache.Cache[string, account]

// newAccounts returns the cache. It needs only a loader. While the bus is not fresh, every read is a load.
func newAccounts(b bus.Bus, db querier) (*accounts, error) {
	return cache.New(b, topic, cache.Func(func(ctx context.Context, id string) (account, error) {
		a, err := selectAccount(ctx, db, id)
		if errors.Is(err, pgx.ErrNoRows) {
			err = cache.ErrNotFound // becomes a negative entry
		}
		return a, err
	}), nil)
}

// found is the result of find.
type found struct {
	account
	cached bool // from the cache, and not read for this call
	fresh  bool // the bus was fresh, so the cache could be used
}

// find returns an account. Get alone would do; Peek shows whether the account came from the cache.
func (p *pod) find(ctx context.Context, id string) (found, error) {
	fresh := p.bus.Fresh()
	if a, err := p.accounts.Peek(id); err == nil {
		return found{account: a, cached: true, fresh: true}, nil
	}
	a, err := p.accounts.Get(ctx, id)
	return found{account: a, fresh: fresh}, err
}
