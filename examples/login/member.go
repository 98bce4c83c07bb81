package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/crypto/bcrypt"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// errCredentials is the same for an unknown name and a wrong password.
var errCredentials = errors.New("wrong name or password")

// noMember is the hash of no password. It is compared for unknown names, so that they take as long as the others.
const noMember = "$2a$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

// maxPassword is as much as bcrypt looks at.
const maxPassword = 72

// checkPassword returns the login of a member, and the full name. The login begins before the password is looked up: if all
// sessions of the member are ended after that, say because the password has just been changed, none comes of it.
func (p *pod) checkPassword(ctx context.Context, name, password string) (login sessionstore.Login, fullName string, err error) {
	login, err = p.store.BeginLogin(ctx, name)
	switch {
	case len(password) > maxPassword, errors.Is(err, sessionstore.ErrInvalid): // ErrInvalid: no name at all
		return login, "", errCredentials
	case err != nil:
		return login, "", err
	}

	hash := noMember
	err = p.bus.Pool().QueryRow(ctx, "SELECT full_name, password FROM member WHERE name = $1", name).Scan(&fullName, &hash)
	known := err == nil
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return login, "", err
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil || !known {
		return login, "", errCredentials
	}
	return login, fullName, nil
}

func insertMember(ctx context.Context, pool *pgxpool.Pool, name, fullName, password string) error {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return err
	}
	_, err = pool.Exec(ctx, "INSERT INTO member (name, full_name, password) VALUES ($1, $2, $3)", name, fullName, string(hash))
	return err
}
