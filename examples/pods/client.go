package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// clientTimeout is longer than a pod's own timeout, so that the pod usually responds first.
const clientTimeout = requestTimeout + 2*time.Second

// client sends requests to pods. Its methods are safe for concurrent use.
type client struct{ http *http.Client }

func newClient() *client {
	return &client{&http.Client{Transport: newTransport(), Timeout: clientTimeout}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// read gets an account.
func (c *client) read(ctx context.Context, from target, id string) (r reply, err error) {
	err = c.do(ctx, http.MethodGet, from.url()+"/accounts/"+id, &r)
	return r, err
}

// deposit adds 1 to an account. After an error the outcome is unknown.
func (c *client) deposit(ctx context.Context, on target, id string) (r reply, err error) {
	err = c.do(ctx, http.MethodPost, on.url()+"/accounts/"+id, &r)
	return r, err
}

// depositAndDie makes a pod commit a deposit and die. It returns an error if the pod responds.
func (c *client) depositAndDie(ctx context.Context, on target, id string) error {
	var r reply
	if err := c.do(ctx, http.MethodPost, on.url()+"/accounts/"+id+"?die=1", &r); err == nil {
		return fmt.Errorf("pod %s responded, although it should be dead", on.name)
	}
	return nil
}

func (c *client) state(ctx context.Context, of target) (s podState, err error) {
	s.asked = time.Now()
	err = c.do(ctx, http.MethodGet, of.url()+"/stats", &s)
	return s, err
}

func (c *client) do(ctx context.Context, method, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return err
	}

	response, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer response.Body.Close()

	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, body)
	}

	return json.Unmarshal(body, into)
}

// every calls f until it returns true, with pauses between. It returns false if that does not happen within limit.
func every(ctx context.Context, pause, limit time.Duration, f func() bool) (bool, error) {
	deadline := time.Now().Add(limit)
	for !f() {
		if time.Now().After(deadline) {
			return false, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return false, err
		}
	}
	return true, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
