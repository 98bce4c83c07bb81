package httpsession

import (
	"context"
	"net/http"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/stamp"
)

// get reads a session that is not older than what the browser has seen written.
func (x *exchange[T]) get(ctx context.Context, token string) (*sessionstore.Session[T], error) {
	if x.passive() {
		return x.m.store.Look(ctx, token)
	}
	got, err := x.m.store.Get(ctx, token)
	if err != nil {
		return nil, err
	}
	if seen := stamp.Of(x.request, x.m.jar.base).Version(got.ID); seen > got.Version {
		return x.m.store.GetAfter(ctx, token, seen)
	}
	return got, nil
}

// setStamp notes a version that was written.
func setStamp[T any](j jar, h http.Header, got *sessionstore.Session[T]) {
	j.write(h, stamp.Name(j.base, got.Version), stamp.Text(got.Version, got.ID), int(stamp.Age/time.Second))
}
