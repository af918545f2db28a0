package daemon

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// flushTime is how long the last traces have to get out.
const flushTime = 2 * time.Second

// startTracing sends traces of calls to a collector, if one is configured.
func (d *daemon) startTracing(ctx context.Context, version string) error {
	t := d.config.Tracing
	if t.Endpoint == "" {
		return nil
	}
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(t.Endpoint)}
	if t.Insecure {
		options = append(options, otlptracegrpc.WithInsecure())
	}
	exporter, err := otlptracegrpc.New(ctx, options...)
	if err != nil {
		return fmt.Errorf("tracing.endpoint: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "bulkheadd"), attribute.String("service.version", version),
		)),
	)
	d.traces = provider
	d.closers = append(d.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		defer cancel()
		return provider.Shutdown(ctx)
	})
	return nil
}
