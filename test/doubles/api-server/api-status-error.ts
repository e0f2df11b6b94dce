// Errors of the API stand-in, as `Status` objects.

/** A resource of the API. */
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

/** An error response, with the Status that a real API server sends. */
export class StatusError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: StatusDetails | undefined;
  /** For an expired `continue`: the token to continue with. */
  readonly continueWith: string | undefined;

  constructor(code: number, reason: string, message: string, details?: StatusDetails, continueWith?: string) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.details = details;
    this.continueWith = continueWith;
  }

  /** Returns the body of the response. */
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

const formatResource = ({ resource, group }: Resource): string =>
  group === '' ? resource : `${resource}.${group}`;

const buildDetails = ({ resource, group }: Resource, name: string | undefined): StatusDetails => ({
  ...(name !== undefined && { name }),
  ...(group !== '' && { group }),
  kind: resource,
});

/** 404 for an object that does not exist. */
export function createNotFound(resource: Resource, name: string): StatusError {
  return new StatusError(
    404,
    'NotFound',
    `${formatResource(resource)} "${name}" not found`,
    buildDetails(resource, name),
  );
}

/** 409 for a create whose name is in use. */
export function createAlreadyExists(resource: Resource, name: string): StatusError {
  const text = `${formatResource(resource)} "${name}" already exists`;
  return new StatusError(409, 'AlreadyExists', text, buildDetails(resource, name));
}

/** 409 for a write to another version of the object. */
export function createConflict(resource: Resource, name: string, why: string): StatusError {
  const text = `Operation cannot be fulfilled on ${formatResource(resource)} "${name}": ${why}`;
  return new StatusError(409, 'Conflict', text, buildDetails(resource, name));
}

/** The response to a write with an outdated resourceVersion. */
export const modifiedMessage =
  'the object has been modified; please apply your changes to the latest version and try again';

/** 422 for an object that does not pass validation. */
export function createInvalid(resource: Resource, name: string, causes: StatusCause[]): StatusError {
  const list = causes.map(({ field, message }) => (field === undefined ? message : `${field}: ${message}`));
  const text = list.length === 1 ? list[0] : `[${list.join(', ')}]`;
  const details = { ...buildDetails(resource, name), kind: resource.kind, causes };
  return new StatusError(422, 'Invalid', `${resource.kind} "${name}" is invalid: ${text}`, details);
}

/** 400 for a request that cannot be parsed. */
export function createBadRequest(text: string): StatusError {
  return new StatusError(400, 'BadRequest', text);
}

/** 403, for example for a missing permission or a quota. */
export function createForbidden(
  resource: Resource,
  name: string | undefined,
  why: string,
  causes?: StatusCause[],
): StatusError {
  const what =
    name === undefined || name === '' ? formatResource(resource) : `${formatResource(resource)} "${name}"`;
  const details = { ...buildDetails(resource, name), ...(causes !== undefined && { causes }) };
  return new StatusError(403, 'Forbidden', `${what} is forbidden: ${why}`, details);
}

/** 500 of the API server itself. */
export function createInternalError(text: string): StatusError {
  const causes = [{ reason: 'InternalError', message: text }];
  return new StatusError(500, 'InternalError', `Internal error occurred: ${text}`, { causes });
}
