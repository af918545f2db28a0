package access

import "context"

// Check fails, as the interceptors do, if who calls may not call the method. It is
// for who refuses calls before there are requests to intercept.
func Check(ctx context.Context, method string) error { return check(ctx, method) }
