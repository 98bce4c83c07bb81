package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Begun is a login that has begun: the text of a Login, and the password that was checked after it.
type Begun struct {
	Outcome  Outcome
	Login    string
	Password int64
}

// Begin begins a login and then checks the password.
func (k *keeper) Begin(user string, out *Begun) error {
	ctx, cancel := k.patience()
	defer cancel()
	login, err := k.store.BeginLogin(ctx, user)
	if err == nil {
		err = k.p.pool.QueryRow(ctx, "SELECT password FROM account WHERE name = $1", user).Scan(&out.Password)
	}
	if out.Outcome = k.outcome(err); err == nil {
		text, _ := login.MarshalText() // never fails
		out.Login = string(text)
	}
	return nil
}

// Creation is a wish for a session; an empty Login is for an anonymous one.
type Creation struct {
	Login, Secret string
	Absolute      time.Duration
	Hold          time.Duration // so long its transaction stays open
}

// Made is a session that was made, or made anew.
type Made struct {
	Outcome Outcome
	Token   string
	ID      string
	User    string
	Version int64
}

func (m *Made) fill(token string, s *sessionstore.Session[Sheet]) {
	m.Token, m.ID, m.User, m.Version = token, s.ID.String(), s.User, s.Version
}

// Create makes a session.
func (k *keeper) Create(c Creation, out *Made) error {
	ctx, cancel := k.patience()
	defer cancel()

	var login sessionstore.Login
	if err := login.UnmarshalText([]byte(c.Login)); err != nil {
		return err
	}

	o := &sessionstore.CreateOptions{Policy: sessionstore.Policy{Absolute: c.Absolute}}
	sheet := Sheet{Secret: c.Secret}
	var token string
	var got *sessionstore.Session[Sheet]
	var err error
	switch {
	case c.Login == "":
		token, got, err = k.store.CreateAnonymous(ctx, sheet, o)
	case c.Hold == 0:
		token, got, err = k.store.Create(ctx, login, sheet, o)
	default:
		_, err = k.p.bus.InTx(ctx, func(tx *bus.Tx) (err error) {
			if token, got, err = k.store.CreateTx(ctx, tx, login, sheet, o); err != nil {
				return err
			}
			return pause(ctx, c.Hold)
		})
	}

	if out.Outcome = k.outcome(err); err == nil {
		out.fill(token, got)
	}

	return nil
}

// Question asks for the sessions of tokens.
type Question struct {
	Tokens []string
	Fresh  bool // from the database
}

// Answer is what came of one token.
type Answer struct {
	Outcome  Outcome // Unknown: nobody could tell
	ID, User string
	Version  int64
	Sheet    Sheet
}

// Check gets the sessions of tokens, all at once.
func (k *keeper) Check(q Question, out *[]Answer) error {
	ctx, cancel := context.WithTimeout(k.p.ctx, readTimeout)
	defer cancel()
	answers := make([]Answer, len(q.Tokens))
	var wg sync.WaitGroup
	for i, token := range q.Tokens {
		wg.Go(func() { answers[i] = k.check(ctx, token, q.Fresh) })
	}
	wg.Wait()
	*out = answers
	return nil
}

func (k *keeper) check(ctx context.Context, token string, fresh bool) Answer {
	if k.p.cfg.Session.Tells {
		k.log.DebugContext(ctx, "asked", slog.String("token", token))
	}

	get := k.store.Get
	if fresh {
		get = k.store.GetFresh
	}

	got, err := get(ctx, token)
	if err != nil {
		return Answer{Outcome: k.outcome(err)}
	}

	k.mu.Lock()
	if _, ok := k.kept[token]; !ok && len(k.kept) < maxKept {
		k.kept[token] = got
	}

	k.mu.Unlock()
	return Answer{Outcome: Done, ID: got.ID.String(), User: got.User, Version: got.Version, Sheet: Sheet{got.Data.Secret, slices.Clone(got.Data.Elements)}}
}

// Entry adds an element to the data of a session.
type Entry struct {
	Token   string
	Element int64
	Think   time.Duration
	Way     string // save, late (of what was read some time ago), update, tx
}

// Append adds an element.
func (k *keeper) Append(e Entry, out *Made) error {
	ctx, cancel := k.patience()
	defer cancel()
	got, err := k.append(ctx, e)
	if out.Outcome = k.outcome(err); err == nil {
		out.fill("", got)
	}
	return nil
}

func (k *keeper) append(ctx context.Context, e Entry) (got *sessionstore.Session[Sheet], err error) {
	add := func(s *Sheet) error {
		s.Elements = append(slices.Clone(s.Elements), e.Element)
		return pause(ctx, e.Think)
	}
	switch e.Way {
	case "update":
		return k.store.Update(ctx, e.Token, add)
	case "tx":
		_, err = k.p.bus.InTx(ctx, func(tx *bus.Tx) (err error) {
			got, err = k.store.UpdateTx(ctx, tx, e.Token, add)
			return err
		})
		return got, err
	case "late":
		k.mu.Lock()
		got = k.kept[e.Token]
		delete(k.kept, e.Token)
		k.mu.Unlock()
	}

	if got == nil {
		if got, err = k.store.Get(ctx, e.Token); err != nil {
			return nil, err
		}
	}

	if err := add(&got.Data); err != nil {
		return nil, err
	}

	return got, k.store.Save(ctx, e.Token, got)
}

// Rotation gives a session a new token, with a Login also a new user.
type Rotation struct {
	Token, Login string
	Grace        time.Duration
	Absolute     time.Duration
}

// Rotate gives a session a new token.
func (k *keeper) Rotate(r Rotation, out *Made) error {
	ctx, cancel := k.patience()
	defer cancel()

	o := &sessionstore.RotateOptions{Grace: r.Grace}
	if r.Login != "" {
		if err := o.Login.UnmarshalText([]byte(r.Login)); err != nil {
			return err
		}
		o.Policy.Absolute = r.Absolute
	}

	token, got, err := k.store.Rotate(ctx, r.Token, o)
	if out.Outcome = k.outcome(err); err == nil {
		out.fill(token, got)
	}

	return nil
}

// Ending ends a session, by its token or by its id, or changes a user's password, which ends all of them, or all but one.
type Ending struct {
	Token, ID, User string
	Password        int64 // the new one
	Serial          bool  // in a transaction of REPEATABLE READ
	Forget          bool  // with it the user is deleted, and the id given again
	All             bool  // with it the sessions of all users end, and those of nobody
}

// Ended is what became of an Ending.
type Ended struct {
	Outcome Outcome
	Receipt string
}

// End ends sessions.
func (k *keeper) End(e Ending, out *Ended) error {
	ctx, cancel := k.patience()
	defer cancel()

	var r bus.Receipt
	var err error
	switch {
	case e.Password != 0:
		r, err = k.changePassword(ctx, e)
	case e.ID != "":
		id, _ := uuid.Parse(e.ID) // it was one of ours
		r, err = k.store.RevokeByID(ctx, e.User, id)
	default:
		r, err = k.store.Revoke(ctx, e.Token)
	}

	out.Outcome, out.Receipt = k.outcome(err), r.String()
	return nil
}

var errSuperseded = errors.New("faults: a newer password is there")

func (k *keeper) changePassword(ctx context.Context, e Ending) (bus.Receipt, error) {
	o := pgx.TxOptions{}
	if e.Serial {
		o.IsoLevel = pgx.RepeatableRead
	}

	tx, err := k.p.bus.BeginTx(ctx, o)
	if err != nil {
		return bus.Receipt{}, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after Commit this does nothing

	tag, err := tx.Exec(ctx, "UPDATE account SET password = $2 WHERE (name = $1 OR $3) AND password < $2", e.User, e.Password, e.All)
	if err != nil {
		return bus.Receipt{}, err
	}
	if want := map[bool]int64{false: 1, true: sessionUsers}[e.All]; tag.RowsAffected() != want {
		return bus.Receipt{}, errSuperseded
	}

	switch {
	case e.All:
		err = k.store.RevokeAllTx(ctx, tx)
	case e.Forget:
		err = k.store.ForgetUserTx(ctx, tx, e.User)
	case e.Token == "":
		err = k.store.RevokeUserTx(ctx, tx, e.User)
	default:
		err = k.store.RevokeUserExceptTx(ctx, tx, e.Token)
	}

	if err != nil {
		return bus.Receipt{}, err
	}
	if err := tx.Commit(ctx); err != nil {
		return bus.Receipt{}, err
	}

	return tx.Receipt(), nil
}

const oneTimeKind = "faults"

// Put keeps data until somebody takes it.
func (k *keeper) Put(data string, out *Made) (err error) {
	ctx, cancel := k.patience()
	defer cancel()
	out.Token, err = k.store.PutOneTime(ctx, oneTimeKind, []byte(data), nil)
	out.Outcome = k.outcome(err)
	return nil
}

// Take takes a one-time value.
func (k *keeper) Take(value string, out *Answer) error {
	ctx, cancel := k.patience()
	defer cancel()
	data, err := k.store.TakeOneTime(ctx, oneTimeKind, value, "")
	out.Outcome, out.Sheet.Secret = k.outcome(err), string(data)
	return nil
}
