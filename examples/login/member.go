package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/crypto/bcrypt"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// errCredentials is all that somebody hears who may not log in.
var errCredentials = errors.New("wrong name or password")

// nobody is the hash of no password. It is compared for names that nobody has, so that answers take as long for them.
const nobody = "$2a$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

// maxPassword is as much as bcrypt looks at.
const maxPassword = 72

// checkPassword is who logs in. The login is begun before the password is looked up: if all sessions of the member are
// ended after that, say because the password has just been changed, none comes of it.
func (p *pod) checkPassword(ctx context.Context, name, password string) (login sessionstore.Login, m member, err error) {
	if len(password) > maxPassword {
		return login, m, errCredentials
	}
	login, err = p.store.BeginLogin(ctx, name)
	switch {
	case errors.Is(err, sessionstore.ErrInvalid): // no name at all
		return login, m, errCredentials
	case err != nil:
		return login, m, err
	}
	m, err = selectMember(ctx, p.pool, name)
	known := err == nil
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return login, m, err
	}
	if !known {
		m.hash = nobody
	}
	if bcrypt.CompareHashAndPassword([]byte(m.hash), []byte(password)) != nil || !known || m.disabled {
		return login, m, errCredentials
	}
	return login, m, nil
}

// checkIdentity is who logs in, by what the provider says. The name is known only now, so this is where the login begins;
// whether the member may log in is asked after that.
func (p *pod) checkIdentity(ctx context.Context, issuer, subject string) (login sessionstore.Login, m member, err error) {
	var name string
	err = p.pool.QueryRow(ctx, "SELECT member FROM identity WHERE issuer = $1 AND subject = $2", issuer, subject).Scan(&name)
	if err == nil {
		login, err = p.store.BeginLogin(ctx, name)
	}
	if err == nil {
		m, err = selectMember(ctx, p.pool, name)
	}
	if errors.Is(err, pgx.ErrNoRows) || err == nil && m.disabled {
		err = errCredentials
	}
	return login, m, err
}

// member is a row of the table.
type member struct {
	fullName string
	hash     string
	disabled bool
}

func selectMember(ctx context.Context, pool *pgxpool.Pool, name string) (m member, err error) {
	err = pool.QueryRow(ctx, "SELECT full_name, password, disabled FROM member WHERE name = $1", name).
		Scan(&m.fullName, &m.hash, &m.disabled)
	return m, err
}

// insertMember adds one that has a password and an account at the provider.
func insertMember(ctx context.Context, pool *pgxpool.Pool, name, fullName, password, issuer string) error {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, "INSERT INTO member (name, full_name, password) VALUES ($1, $2, $3)", name, fullName, string(hash)); err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	_, err = pool.Exec(ctx, "INSERT INTO identity (issuer, subject, member) VALUES ($1, $2, $3)", issuer, subjectOf(name), name)
	return err
}
