package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

var (
	errNoDevice    = errors.New("no such device")
	errUnconfirmed = errors.New("the session is over, but not every pod has confirmed it yet: one may let it in for some more seconds")
)

// device is a session in the list of its user.
type device struct {
	sessionstore.Info
	Current bool `json:"current"`
}

// Name is what people call it.
func (d device) Name() string {
	agent := d.Device.UserAgent
	browser, system := "", ""
	for _, name := range []string{"Firefox", "Edg", "OPR", "Chrome", "Safari"} {
		if strings.Contains(agent, name+"/") {
			browser = map[string]string{"Edg": "Edge", "OPR": "Opera"}[name]
			if browser == "" {
				browser = name
			}
			break
		}
	}
	for _, name := range []string{"Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux"} {
		if strings.Contains(agent, name) {
			system = name
			break
		}
	}
	if browser == "" || system == "" {
		return agent
	}
	return browser + " on " + system
}

// deviceOf describes the browser of a request. Its address is what the front says, which nobody can reach a pod without.
func deviceOf(r *http.Request, method string) *sessionstore.Device {
	ip, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
	return &sessionstore.Device{UserAgent: r.UserAgent(), IP: ip, Method: method}
}

func (p *pod) devices(ctx context.Context, s *sessionstore.Session[visitor]) ([]device, error) {
	list, err := p.store.List(ctx, s.User)
	all := make([]device, len(list))
	for i, info := range list {
		all[i] = device{info, info.ID == s.ID}
	}
	return all, err
}

func (p *pod) getDevices(w http.ResponseWriter, r *http.Request) error {
	s, err := p.sessions.Get(r)
	if err != nil {
		return err
	}
	all, err := p.devices(r.Context(), s)
	if err != nil {
		return err
	}
	return writeJSON(w, all)
}

// postEnd ends a session of the same user by its public id.
func (p *pod) postEnd(w http.ResponseWriter, r *http.Request) error {
	s, err := p.sessions.Get(r)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return errNoDevice
	}
	receipt, err := p.store.RevokeByID(r.Context(), s.User, id)
	if errors.Is(err, sessionstore.ErrNotFound) {
		return errNoDevice
	}
	if err = p.confirm(r, receipt, err); err != nil {
		return err
	}
	if id != s.ID {
		_, err = p.sessions.Update(w, r, func(v *visitor) error {
			v.Notice = "The session is over, on every pod."
			return nil
		})
	}
	return leave(w, r, "/", err)
}

func (p *pod) postLogout(w http.ResponseWriter, r *http.Request) error {
	receipt, err := p.sessions.Logout(w, r)
	return leave(w, r, "/?bye=out", p.confirm(r, receipt, err))
}

func (p *pod) getLogoutEverywhere(w http.ResponseWriter, r *http.Request) error {
	s, err := p.sessions.Get(r)
	if err != nil {
		return err
	}
	view := page{Title: "Log out everywhere", Session: s}
	if view.Devices, err = p.devices(r.Context(), s); err != nil {
		return err
	}
	p.show(w, r, "confirm", view)
	return nil
}

func (p *pod) postLogoutEverywhere(w http.ResponseWriter, r *http.Request) error {
	receipt, err := p.sessions.LogoutEverywhere(w, r)
	return leave(w, r, "/?bye=everywhere", p.confirm(r, receipt, err))
}

// confirm waits until no pod lets in what was ended, whether or not the browser waits for that.
func (p *pod) confirm(r *http.Request, receipt bus.Receipt, err error) error {
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), confirmTimeout)
	defer cancel()
	if err := p.bus.Confirm(ctx, receipt); err != nil {
		return fmt.Errorf("%w: %w", errUnconfirmed, err)
	}
	return nil
}

// leave sends the browser elsewhere when all went well.
func leave(w http.ResponseWriter, r *http.Request, to string, err error) error {
	if err == nil {
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
	return err
}
