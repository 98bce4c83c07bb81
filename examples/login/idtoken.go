package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// claims are those of an ID token that matter here (OpenID Connect Core 1.0, section 2).
type claims struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	Nonce     string `json:"nonce"`
	SID       string `json:"sid"`
	Name      string `json:"name"`
	IssuedAt  int64  `json:"iat"`
	ExpiresAt int64  `json:"exp"`
}

// tokenHeader is the only one there is: it is compared and not read, so nobody chooses another algorithm.
const tokenHeader = `{"alg":"HS256","typ":"JWT"}`

// leeway is how far two clocks may be apart.
const leeway = 30 * time.Second

var errToken = errors.New("ID token is not valid")

// signToken makes a JWT (RFC 7519), signed with the client's secret, as OpenID Connect allows.
func signToken(secret []byte, c claims) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(tokenHeader)) + "." + base64.RawURLEncoding.EncodeToString(body)
	return signed + "." + signatureOf(secret, signed), nil
}

// readToken checks all that there is to check (OpenID Connect Core 1.0, section 3.1.3.7).
func readToken(secret []byte, token, issuer, audience, nonce string, now time.Time) (c claims, err error) {
	end := strings.LastIndexByte(token, '.')
	if end < 0 || !same(token[end+1:], signatureOf(secret, token[:end])) {
		return c, errToken
	}
	header, body, _ := strings.Cut(token[:end], ".")
	if header != base64.RawURLEncoding.EncodeToString([]byte(tokenHeader)) {
		return c, errToken
	}
	text, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(text, &c) != nil {
		return claims{}, errToken
	}
	if c.Issuer != issuer || c.Audience != audience || !same(c.Nonce, nonce) || c.Subject == "" ||
		now.After(time.Unix(c.ExpiresAt, 0).Add(leeway)) || now.Before(time.Unix(c.IssuedAt, 0).Add(-leeway)) {
		return claims{}, errToken
	}
	return c, nil
}

func signatureOf(secret []byte, text string) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(text)) // a hash never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
