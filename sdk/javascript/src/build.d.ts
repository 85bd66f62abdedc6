/** Makes components of actions and collectors. */

/** The custom section that holds the manifest. */
export declare const MANIFEST_SECTION: string;

/** Why there is no component, and what to do. */
export declare class BuildError extends Error {}

/** What was built. */
export interface Built {
  manifest: Record<string, any>;
  names: string[];
  imports: string[];
  size: number;
}

/** Builds the module `source` into the component `output`. */
export declare function build(source: string, output: string): Promise<Built>;

/** The manifest of a module, without a build. */
export declare function manifestOf(source: string): Promise<Record<string, any>>;

/** The world of a component with these capabilities. */
export declare function world(capabilities: Record<string, any>, isAction: boolean): string;

/** Where the contract's WIT files are. */
export declare function witFolder(): string;
