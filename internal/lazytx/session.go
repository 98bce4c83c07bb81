package lazytx

import (
	"context"
	"strconv"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// session is the state of a connection. Only the goroutine that has the connection uses it.
type session struct {
	mode    pgx.QueryExecMode
	tracer  pgx.QueryTracer                   // nil without one
	cache   *simplelru.LRU[string, statement] // by text; nil where nothing is kept
	evicted []string                          // names on the server that can go
	named   int                               // statements named so far
	builder pgx.ExtendedQueryBuilder
	begin   *pgconn.StatementDescription // BEGIN as it was prepared last
}

// statement is what is known of a first statement.
type statement struct {
	description *pgconn.StatementDescription

	// rowless is the same for who does not read the rows. What has no columns has one here, so that pgconn does not ask the
	// server each time whether there are any now.
	rowless *pgconn.StatementDescription
}

func newStatement(sd *pgconn.StatementDescription) statement {
	if len(sd.Fields) > 0 {
		return statement{sd, sd}
	}
	rowless := *sd
	rowless.Fields = make([]pgconn.FieldDescription, 1)
	return statement{sd, &rowless}
}

// sessionKey is where a session is kept in the custom data of its connection.
const sessionKey = "pgcoherence.lazytx"

// maxEvicted is how many statements wait to be deallocated together.
const maxEvicted = 16

// sessionOf returns the session of a connection, and makes it when the connection is seen for the first time.
func sessionOf(conn *pgx.Conn) *session {
	data := conn.PgConn().CustomData()
	if s, ok := data[sessionKey].(*session); ok {
		return s
	}

	// A copy of the whole configuration: too much to make for each transaction.
	config := conn.Config()
	s := &session{mode: config.DefaultQueryExecMode, tracer: config.Tracer}
	capacity := 0
	switch s.mode {
	case pgx.QueryExecModeCacheStatement:
		capacity = config.StatementCacheCapacity
	case pgx.QueryExecModeCacheDescribe:
		capacity = config.DescriptionCacheCapacity
	}
	if capacity > 0 {
		s.cache, _ = simplelru.NewLRU(max(capacity/4, 1), func(_ string, st statement) {
			if name := st.description.Name; name != "" {
				s.evicted = append(s.evicted, name)
			}
		})
	}
	data[sessionKey] = s
	return s
}

// describe returns the description of a statement, prepared or not as the mode demands. It must not be in a transaction.
func (s *session) describe(ctx context.Context, conn *pgx.Conn, sql string) (statement, error) {
	if s.cache != nil {
		if st, ok := s.cache.Get(sql); ok {
			return st, nil
		}
	}
	if len(s.evicted) >= maxEvicted {
		if err := s.deallocate(ctx, conn.PgConn()); err != nil {
			return statement{}, err
		}
	}

	// Every name is new on its connection, so that one that is still to be deallocated does no harm.
	name := ""
	if s.mode == pgx.QueryExecModeCacheStatement {
		s.named++
		name = "pgc_first_" + strconv.Itoa(s.named)
	}
	sd, err := s.prepare(ctx, conn, name, sql)
	if err != nil {
		if name != "" {
			s.evicted = append(s.evicted, name) // it may have been parsed
		}
		return statement{}, err
	}

	st := newStatement(sd)
	if s.cache != nil {
		s.cache.Add(sql, st)
	}
	return st, nil
}

// prepare prepares or describes a statement, and calls the connection's tracer.
func (s *session) prepare(ctx context.Context, conn *pgx.Conn, name, sql string) (*pgconn.StatementDescription, error) {
	tracer, ok := s.tracer.(pgx.PrepareTracer)
	if !ok {
		return conn.PgConn().Prepare(ctx, name, sql, nil)
	}
	ctx = tracer.TracePrepareStart(ctx, conn, pgx.TracePrepareStartData{Name: name, SQL: sql})
	sd, err := conn.PgConn().Prepare(ctx, name, sql, nil)
	tracer.TracePrepareEnd(ctx, conn, pgx.TracePrepareEndData{Err: err})
	return sd, err
}

// noteBegin notices by BEGIN that Conn.DeallocateAll was called since the last transaction: pgx has prepared it again.
func (s *session) noteBegin(begin *pgconn.StatementDescription) {
	if s.begin != nil && s.begin != begin {
		s.forgetAll()
	}
	s.begin = begin
}

// forget drops a statement that has failed: its plan or its description may be out of date.
func (s *session) forget(sql string) {
	if s.cache != nil {
		s.cache.Remove(sql)
	}
}

// forgetAll drops all of them, after the server did not know one.
func (s *session) forgetAll() {
	if s.cache != nil {
		s.cache.Purge()
	}
}

// deallocate frees what was evicted, in one round trip.
func (s *session) deallocate(ctx context.Context, pg *pgconn.PgConn) error {
	pipeline := pg.StartPipeline(ctx)
	for _, name := range s.evicted {
		pipeline.SendDeallocate(name)
	}
	err := pipeline.Sync()
	if closeErr := pipeline.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		s.evicted = nil
	}
	return err
}

// trace reports the start of a query to the connection's tracer. The returned function reports its end.
func (s *session) trace(ctx context.Context, conn *pgx.Conn, sql string, args []any) (context.Context, func(pgconn.CommandTag, error)) {
	if s.tracer == nil {
		return ctx, func(pgconn.CommandTag, error) {}
	}
	ctx = s.tracer.TraceQueryStart(ctx, conn, pgx.TraceQueryStartData{SQL: sql, Args: args})
	return ctx, func(tag pgconn.CommandTag, err error) {
		s.tracer.TraceQueryEnd(ctx, conn, pgx.TraceQueryEndData{CommandTag: tag, Err: err})
	}
}
