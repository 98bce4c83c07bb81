package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// requestTimeout bounds a request's work in the database, so that requests do not pile up during an outage.
const requestTimeout = 2 * time.Second

// statusPath is the path of a pod's live page, health checks and metrics.
const statusPath = "/_pgcoherence/"

func (p *pod) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /accounts/{id}", p.getAccount)
	mux.HandleFunc("POST /accounts/{id}", p.postAccount)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, p.state()) })
	mux.HandleFunc("GET /status", p.getStatus)
	mux.Handle(statusPath, http.StripPrefix(strings.TrimSuffix(statusPath, "/"), p.pages))
	return mux
}

func (p *pod) getAccount(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	f, err := p.find(ctx, r.PathValue("id"))
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, reply{
		account: f.account, Pod: p.name, Cached: f.cached, Fresh: f.fresh, State: p.bus.State().String(),
	})
}

func (p *pod) postAccount(w http.ResponseWriter, r *http.Request) {
	amount := int64(1)
	if text := r.FormValue("amount"); text != "" {
		var err error
		if amount, err = strconv.ParseInt(text, 10, 32); err != nil {
			writeJSON(w, http.StatusBadRequest, failure{Error: "amount: want a number of at most 32 bits"})
			return
		}
	}

	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()

	id := r.PathValue("id")
	write := p.deposit
	if r.FormValue("die") == "1" {
		write = p.depositAndDie
	}

	a, err := write(ctx, id, amount)
	if err != nil {
		writeError(w, err)
		return
	}

	now := time.Now()
	writeJSON(w, http.StatusOK, reply{
		account: a, Pod: p.name, Fresh: p.bus.Fresh(), State: p.bus.State().String(), CommittedAt: &now,
	})
}

// deposit writes as an application does: the invalidation is part of the transaction. When InTx returns, this pod's own
// cache has already dropped the account.
func (p *pod) deposit(ctx context.Context, id string, amount int64) (a account, err error) {
	_, err = p.bus.InTx(ctx, func(tx *bus.Tx) (err error) {
		if a, err = updateAccount(ctx, tx, id, amount); err == nil {
			err = p.accounts.InvalidateTx(tx, id)
		}
		return err
	})
	return a, err
}

// depositAndDie commits a transaction that is not the bus's own, with the invalidation staged in it, and dies before it
// announces the event.
func (p *pod) depositAndDie(ctx context.Context, id string, amount int64) (account, error) {
	tx, err := p.pool.Begin(ctx)
	if err != nil {
		return account{}, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // a no-op after Commit

	a, err := updateAccount(ctx, tx, id, amount)
	if err != nil {
		return a, err
	}

	staged, err := p.accounts.Stage(ctx, tx, id)
	if err != nil {
		return a, err
	}
	if err := tx.Commit(ctx); err != nil {
		return a, err
	}

	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return a, err
	}
	if err := self.Kill(); err != nil {
		return a, err
	}

	time.Sleep(requestTimeout) // until the signal arrives
	staged.Committed()         // never reached: the pod dies before it
	return a, nil
}

// podState is the state of a pod's bus and cache.
type podState struct {
	Name  string      `json:"name"`
	State string      `json:"state"`
	Fresh bool        `json:"fresh"`
	Stats bus.Stats   `json:"stats"`
	Cache cache.Stats `json:"cache"`
	asked time.Time   // when the request was sent; set by the client
}

func (p *pod) state() podState {
	return podState{Name: p.name, State: p.bus.State().String(), Fresh: p.bus.Fresh(), Stats: p.bus.Stats(), Cache: p.accounts.Stats()}
}

func (p *pod) getStatus(w http.ResponseWriter, r *http.Request) {
	status := struct {
		podState
		Pods      []bus.Pod `json:"pods"`
		PodsError string    `json:"pods_error,omitempty"`
	}{podState: p.state()}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	var err error
	if status.Pods, err = p.bus.Pods(ctx); err != nil {
		status.PodsError = err.Error()
	}
	writeJSON(w, http.StatusOK, status)
}

// failure is the body of every response that is not 200.
type failure struct {
	Error string `json:"error"`
}

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if errors.Is(err, pgx.ErrNoRows) || errors.Is(err, cache.ErrNotFound) {
		status, err = http.StatusNotFound, errors.New("no such account")
	}
	writeJSON(w, status, failure{Error: err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an error means that the client is gone
}
