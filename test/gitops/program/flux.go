package main

import (
	"context"
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/jsondiff"
)

// fluxOwner is the owner that kustomize-controller uses.
var fluxOwner = ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"}

func newClient(work *target) (client.Client, error) {
	c, err := client.New(work.config, client.Options{Scheme: runtime.NewScheme()})
	if err != nil {
		return nil, err
	}
	for _, object := range work.manifests {
		gvk := object.GroupVersionKind()
		mapping, err := c.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", describe(object), err)
		}
		if mapping.Scope.Name() == apimeta.RESTScopeNameNamespace && object.GetNamespace() == "" {
			object.SetNamespace(work.namespace)
		}
	}
	return c, nil
}

func newManager(work *target) (*ssa.ResourceManager, error) {
	c, err := newClient(work)
	if err != nil {
		return nil, err
	}
	manager := ssa.NewResourceManager(c, nil, fluxOwner)
	manager.SetOwnerLabels(work.manifests, application, work.namespace)
	return manager, nil
}

// fluxApply applies the manifests as a Kustomization does, and returns what was not already as wanted.
func fluxApply(ctx context.Context, work *target) ([]string, error) {
	manager, err := newManager(work)
	if err != nil {
		return nil, err
	}
	changes, err := manager.ApplyAll(ctx, work.manifests, ssa.DefaultApplyOptions())
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, entry := range changes.Entries {
		if entry.Action != ssa.UnchangedAction {
			lines = append(lines, fmt.Sprintf("%s: %s", entry.Subject, entry.Action))
		}
	}
	return lines, nil
}

// fluxDiff returns what `flux diff kustomization` shows.
func fluxDiff(ctx context.Context, work *target) ([]string, error) {
	manager, err := newManager(work)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, object := range work.manifests {
		entry, live, merged, err := manager.Diff(ctx, object, ssa.DefaultDiffOptions())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", describe(object), err)
		}
		if entry.Action != ssa.UnchangedAction {
			lines = append(lines, fmt.Sprintf("%s: %s, live %v, wanted %v", entry.Subject, entry.Action, live, merged))
		}
	}
	return lines, nil
}

// fluxDelete deletes what a Kustomization with `prune: true` applied.
func fluxDelete(ctx context.Context, work *target) ([]string, error) {
	manager, err := newManager(work)
	if err != nil {
		return nil, err
	}
	options := ssa.DefaultDeleteOptions()
	options.PropagationPolicy = metav1.DeletePropagationBackground
	options.Inclusions = manager.GetOwnerLabels(application, work.namespace)
	changes, err := manager.DeleteAll(ctx, work.manifests, options)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, entry := range changes.Entries {
		lines = append(lines, fmt.Sprintf("%s: %s", entry.Subject, entry.Action))
	}
	return lines, nil
}

// helmDiff returns the drift that helm-controller corrects with `driftDetection.mode: enabled`
// (internal/action/diff.go there): a dry run of the release's manifests under its own field manager.
func helmDiff(ctx context.Context, work *target) ([]string, error) {
	c, err := newClient(work)
	if err != nil {
		return nil, err
	}
	diffs, err := jsondiff.UnstructuredList(ctx, c, work.manifests,
		jsondiff.FieldOwner("helm-controller"), jsondiff.MaskSecrets(true), jsondiff.Rationalize(true))
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, one := range diffs {
		if one.Type != jsondiff.DiffTypeNone {
			lines = append(lines, fmt.Sprintf("%s %s: %s %s", one.GroupVersionKind().Kind, one.GetName(), one.Type, one.Patch))
		}
	}
	return lines, nil
}
