package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

var (
	errNoDevice    = errors.New("no such device")
	errUnconfirmed = errors.New("over, but not every pod has confirmed it yet: it may be let in for some seconds more")
)

// device is a session in the list of its user.
type device struct {
	sessionstore.Info
	Current bool `json:"current"`
}

func (p *pod) devices(ctx context.Context, s *sessionstore.Session[visitor]) ([]device, error) {
	list, err := p.store.List(ctx, s.User)
	all := make([]device, len(list))
	for i, info := range list {
		all[i] = device{info, info.ID == s.ID}
	}
	return all, err
}

func (p *pod) getDevices(w http.ResponseWriter, r *http.Request) {
	p.signedIn(w, r, func(s *sessionstore.Session[visitor]) error {
		all, err := p.devices(r.Context(), s)
		if err != nil {
			return err
		}
		return writeJSON(w, all)
	})
}

// postEnd ends a session of the same user by its public id.
func (p *pod) postEnd(w http.ResponseWriter, r *http.Request) {
	p.end(w, r, func(ctx context.Context, s *sessionstore.Session[visitor]) (bus.Receipt, error) {
		id, err := uuid.Parse(r.PathValue("id"))
		if err != nil {
			return bus.Receipt{}, errNoDevice
		}
		receipt, err := p.store.RevokeByID(ctx, s.User, id)
		if errors.Is(err, sessionstore.ErrNotFound) {
			err = errNoDevice
		}
		return receipt, err
	})
}

func (p *pod) postLogout(w http.ResponseWriter, r *http.Request) {
	p.end(w, r, func(ctx context.Context, _ *sessionstore.Session[visitor]) (bus.Receipt, error) {
		return p.store.Revoke(ctx, p.cookies.get(r, sessionCookie))
	})
}

func (p *pod) postLogoutEverywhere(w http.ResponseWriter, r *http.Request) {
	p.end(w, r, func(ctx context.Context, s *sessionstore.Session[visitor]) (bus.Receipt, error) {
		return p.store.RevokeUser(ctx, s.User)
	})
}

// end ends sessions and answers when no pod lets them in any more. It goes on if the browser does not wait for that.
func (p *pod) end(w http.ResponseWriter, r *http.Request, revoke func(context.Context, *sessionstore.Session[visitor]) (bus.Receipt, error)) {
	p.signedIn(w, r, func(s *sessionstore.Session[visitor]) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), confirmTimeout)
		defer cancel()
		receipt, err := revoke(ctx, s)
		if err != nil {
			return err
		}
		if err := p.bus.Confirm(ctx, receipt); err != nil {
			return fmt.Errorf("%w: %w", errUnconfirmed, err)
		}
		// If it was the browser's own, the page that follows clears the cookie.
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	})
}
