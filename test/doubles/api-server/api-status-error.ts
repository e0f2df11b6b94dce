// Errors of the API stand-in, as `Status` objects.
/** A kind of object that the stand-in keeps. */
export interface Resource {
  group: string;
  version: string;
  /** Plural and lower case, as in paths. */
  resource: string;
  kind: string;
  namespaced: boolean;
}

/** One entry of a Status' `details.causes`. */
export interface StatusCause {
  reason: string;
  message: string;
  field?: string;
}

interface StatusDetails {
  name?: string | undefined;
  kind?: string;
  group?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

/** An answer that is an error, with the Status that a real API server would send. */
export class StatusError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: StatusDetails | undefined;
  /** For an expired `continue`: the token to go on with, as the real one offers it. */
  readonly continueWith: string | undefined;

  constructor(code: number, reason: string, message: string, details?: StatusDetails, continueWith?: string) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.details = details;
    this.continueWith = continueWith;
  }

  /** The body of the answer. */
  status(): Record<string, unknown> {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: this.continueWith === undefined ? {} : { continue: this.continueWith },
      status: 'Failure',
      message: this.message,
      ...(this.reason !== '' && { reason: this.reason }),
      ...(this.details !== undefined && { details: this.details }),
      code: this.code,
    };
  }
}

const qualified = ({ resource, group }: Resource): string =>
  group === '' ? resource : `${resource}.${group}`;

const detailsOf = ({ resource, group }: Resource, name: string | undefined): StatusDetails => ({
  ...(name !== undefined && { name }),
  ...(group !== '' && { group }),
  kind: resource,
});

/** 404 of an object that is not there. */
export function notFound(resource: Resource, name: string): StatusError {
  return new StatusError(
    404,
    'NotFound',
    `${qualified(resource)} "${name}" not found`,
    detailsOf(resource, name),
  );
}

/** 409 of a create whose name is taken. */
export function alreadyExists(resource: Resource, name: string): StatusError {
  const text = `${qualified(resource)} "${name}" already exists`;
  return new StatusError(409, 'AlreadyExists', text, detailsOf(resource, name));
}

/** 409 of a write on an object that is not the one it was meant for. */
export function conflict(resource: Resource, name: string, why: string): StatusError {
  const text = `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`;
  return new StatusError(409, 'Conflict', text, detailsOf(resource, name));
}

/** The response to a write with an outdated resourceVersion. */
export const modifiedMessage =
  'the object has been modified; please apply your changes to the latest version and try again';

/** 422 of an object that breaks the rules of its kind. */
export function invalid(resource: Resource, name: string, causes: StatusCause[]): StatusError {
  const list = causes.map(({ field, message }) => (field === undefined ? message : `${field}: ${message}`));
  const text = list.length === 1 ? list[0] : `[${list.join(', ')}]`;
  const details = { ...detailsOf(resource, name), kind: resource.kind, causes };
  return new StatusError(422, 'Invalid', `${resource.kind} "${name}" is invalid: ${text}`, details);
}

/** 400 of a request that cannot be understood. */
export function badRequest(text: string): StatusError {
  return new StatusError(400, 'BadRequest', text);
}

/** 403: a missing right, a quota. */
export function forbidden(
  resource: Resource,
  name: string | undefined,
  why: string,
  causes?: StatusCause[],
): StatusError {
  const what = name === undefined || name === '' ? qualified(resource) : `${qualified(resource)} "${name}"`;
  const details = { ...detailsOf(resource, name), ...(causes !== undefined && { causes }) };
  return new StatusError(403, 'Forbidden', `${what} is forbidden: ${why}`, details);
}

/** 500 of the API server's own. */
export function internalError(text: string): StatusError {
  const causes = [{ reason: 'InternalError', message: text }];
  return new StatusError(500, 'InternalError', `Internal error occurred: ${text}`, { causes });
}
